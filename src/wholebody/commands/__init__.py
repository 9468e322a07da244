"""The subcommands of `wholebody`, a file each. What a command needs is imported when it runs."""
