"""Linux system calls as they are: thin, typed, free of policy."""
