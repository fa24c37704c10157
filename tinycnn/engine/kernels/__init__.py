"""The compiled part. Nothing here imports anything of the project outside this folder.

Every kernel is ``kernel(row, arena, weights, thread, threads)``: pointers and integers, as in C.
``row`` is one instruction of the program (see `instructions`), whose addresses are bytes relative
to ``arena`` (values) and ``weights`` (constants). All threads run every instruction and take their
`share` of it. A kernel allocates nothing, raises nothing, and calls only its like.
"""
