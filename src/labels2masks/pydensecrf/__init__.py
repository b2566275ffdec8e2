"""Scripts written for `pydensecrf`, run by this package: change the imports, nothing else.

    import labels2masks.pydensecrf.densecrf as dcrf
    from labels2masks.pydensecrf.utils import unary_from_softmax

Both modules have the names, argument orders and results of pydensecrf (Krähenbühl and Koltun 2011, through Beyer's
wrapper), written anew on this package's filter. Numpy only.
"""
