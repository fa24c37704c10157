"""How a network runs fast: rewrites, plan, arena, kernels, program."""
