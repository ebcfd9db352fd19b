"""Networks that the user brings as ONNX files, as matchers of a rectified pair: `onnx`.

`signature` recognises inputs, `families` knows what trained networks expect of their pixels, `prepare` makes inputs and
reads outputs, `session` runs a whole picture, by strips where memory is short, `matcher` is the method.
"""
