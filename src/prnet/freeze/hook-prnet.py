"""PyInstaller's hook: the model folder, and the modules that the public names are loaded from."""

from PyInstaller.utils.hooks import collect_data_files

from prnet import _MODULE_OF

datas = collect_data_files("prnet", subdir="assets")
hiddenimports = sorted({f"prnet.{module}" for module in _MODULE_OF.values()})
# loaded only where they are called
hiddenimports += ["prnet.mesh.files", "prnet.geometry.bands"]
