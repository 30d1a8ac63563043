"""What outlives the server's process: named documents and bodies, in a data folder or nowhere."""
