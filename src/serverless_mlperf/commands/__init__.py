"""Commands that `cli` registers: they parse, call and print; errors and exits are `cli`'s."""
