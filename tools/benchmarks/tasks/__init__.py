"""One task a file, found by its name: `SIDES`, `SWEEP`, `OPTIONS` (the default and the help of each) and `DEFAULTS`.

A method has `method(side, options)` and its plain objective, `loss(method, network, batch)`; what is no method has a
`run(side, options)` of its own.
"""
