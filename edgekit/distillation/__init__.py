"""A student learns the answers of teachers: weights of an ONNX graph are trained, its nodes stay.

`distilling.taught` is the way in; `recipe` says how it is done. What imports torch (`objective`,
`learner`, `training`) runs behind the native door only.
"""
