"""prnet inside applications that PyInstaller makes."""
