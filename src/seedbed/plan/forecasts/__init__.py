"""What jobs will take, in time and on disk, before they run: counted work over what machines sustain."""
