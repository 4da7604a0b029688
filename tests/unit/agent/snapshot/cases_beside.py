"""Cases of what is beside plain values: hidden names, settings, shared memory. As in ``cases``."""
# ruff: noqa: E501 - a case is a line

HIDDEN = [
    (
        "get_ipython().push({'h': [1]}, interactive=False); y = h",
        "h is y and h == [1] and 'h' in get_ipython().user_ns_hidden",
    ),
    ("quit = 5; exit = [quit]", "quit == 5 and exit == [5]"),
    ("In = 3; Out = 4; _dh = 5; get_ipython = 6", "(In, Out, _dh, get_ipython) == (3, 4, 5, 6)"),
    ("_7 = 'mine'; _i7 = 8", "_7 == 'mine' and _i7 == 8"),
    ("_private = 1; __dunder = 2", "_private == 1 and __dunder == 2"),
]

SINGLE = [
    ("import random\nfrom random import randint", "random.randint.__self__ is randint.__self__"),
    ("from os import environ", "environ is __import__('os').environ"),
    (
        "import random\nr = random.Random(3); s = r.random",
        "s.__self__ is r and r is not random._inst",
    ),
    (
        "import numpy as np\nfrom numpy.random import rand, seed",
        "seed(3); a = rand(); np.random.seed(3); a == np.random.rand()",
    ),
    (
        "import matplotlib\nfrom matplotlib import rcParams, colormaps",
        "rcParams is matplotlib.rcParams and colormaps is matplotlib.colormaps",
    ),
]

SETTINGS = [
    (
        "import matplotlib, cycler\nmatplotlib.rcParams['axes.prop_cycle'] = cycler.cycler(color=list('rgbcmyk') + ['.1', '.2', '.3'])",
        "len(matplotlib.rcParams['axes.prop_cycle']) == 10",
    ),
    (
        "import numpy as np\nbefore = np.seterr(under='warn')",
        "seen = np.geterr(); np.seterr(**before); seen['under'] == 'warn'",
    ),
    (
        "import decimal\nkeep = decimal.getcontext().prec; decimal.getcontext().prec = 7",
        "seen = decimal.getcontext().prec; decimal.getcontext().prec = keep; seen == 7",
    ),
    (
        "import logging\nlogging.getLogger('urllib3').setLevel(logging.ERROR); logging.getLogger('mine').propagate = False",
        "logging.getLogger('urllib3').level == logging.ERROR and not logging.getLogger('mine').propagate",
    ),
    (
        "import logging, io\ns = io.StringIO(); logger = logging.getLogger('mine.log')\nhandler = logging.StreamHandler(s); handler.setFormatter(logging.Formatter('<%(message)s>')); logger.addHandler(handler); logger.warning('a')",
        "logger.warning('b'); s.getvalue() == '<a>\\n<b>\\n' and logger.handlers == [handler]",
    ),
    (
        "import logging\nhandler = logging.FileHandler('log.txt', 'w'); logger = logging.getLogger('mine.file'); logger.addHandler(handler); logger.warning('a')",
        "logger.warning('b'); handler.close(); open('log.txt').read() == 'a\\nb\\n'",
    ),
    (
        "import warnings\nclass Mine(UserWarning): pass\nwarnings.filterwarnings('ignore', 'boring', Mine)",
        "with warnings.catch_warnings(record=True) as seen: warnings.warn('boring', Mine); warnings.warn('other', Mine)\n[str(w.message) for w in seen] == ['other']",
    ),
    (
        "import sys\nsys.setrecursionlimit(1234); sys.argv[:] = ['train.py', '--lr', '1']",
        "sys.getrecursionlimit() == 1234 and sys.argv == ['train.py', '--lr', '1']",
    ),
    ("import gc\ngc.disable()", "seen = gc.isenabled(); gc.enable(); not seen"),
    (
        "import signal\ndef rang(*_): pass\n_ = signal.signal(signal.SIGUSR1, rang)",
        "signal.getsignal(signal.SIGUSR1) is rang",
    ),
    (
        "import os, time\nos.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "seen = time.localtime(0).tm_hour; del os.environ['TZ']; time.tzset(); seen == 9",
    ),
]

REFERENCES = [
    (
        "import weakref\nclass A: pass\na = A(); seen = []; w = weakref.ref(a, lambda r: seen.append('gone'))",
        "w() is a; del a; import gc; gc.collect(); seen == ['gone']",
    ),
    (
        "import weakref\nclass A: pass\na = A(); seen = []; f = weakref.finalize(a, seen.append, 3)",
        "f.alive; del a; import gc; gc.collect(); seen == [3] and not f.alive",
    ),
    (
        "import weakref\nclass A: pass\na = A(); seen = []; weakref.finalize(a, seen.append, 3) and None",
        "early = list(seen); del a; import gc; gc.collect(); (early, seen) == ([], [3])",
    ),
    (
        "import weakref\nclass A: pass\na = A(); f = weakref.finalize(a, print); _ = f.detach()",
        "not f.alive",
    ),
]

SHARED = [
    ("b = bytearray(b'abcdef'); m = memoryview(b)", "m[0] = 90; b[0] == 90"),
    ("b = bytearray(b'abcdef'); m = memoryview(b)[2:4]", "m[0] = 90; b == b'abZdef'"),
    (
        "import array\nb = array.array('i', [1, 2]); m = memoryview(b)",
        "m[1] = 9; b[1] == 9 and m.format == 'i'",
    ),
    (
        "import numpy as np\nb = bytearray(16); a = np.frombuffer(b, 'i4', offset=4)",
        "a[0] = 1; b[4] == 1 and a.shape == (3,)",
    ),
    (
        "import numpy as np\nb = bytearray(16); a = np.frombuffer(b, 'i4').reshape(2, 2); c = a.T",
        "b[4] = 1; a[0, 1] == 1 and c[1, 0] == 1",
    ),
    (
        "import numpy as np\na = np.arange(4); m = memoryview(a)[1:3]; c = np.asarray(m)",
        "m[0] = 9; a[1] == 9 and c[0] == 9",
    ),
    (
        "import numpy as np\nclass A(np.ndarray): pass\na = A(4); a[:] = 0; b = np.asarray(a)[1:]",
        "b[0] = 9; a[1] == 9 and type(b) is np.ndarray and type(a) is A",
    ),
]

MAPPED = [
    (
        "import numpy as np\nm = np.memmap('rw.bin', 'i4', 'w+', offset=8, shape=(3, 4)); m[1, 2] = 7; v = m[1:]; a = np.asarray(m)[1]",
        "m[1, 3] = 8; m.flush(); v[0, 3] == 8 and a[2] == 7 and a[3] == 8 and type(v) is np.memmap and m.mode == 'w+' and m.offset == 8 and np.fromfile('rw.bin', 'i4', offset=8)[7] == 8",
    ),
    (
        "import numpy as np\nnp.save('r.npy', np.arange(6).reshape(2, 3)); m = np.load('r.npy', mmap_mode='r')",
        "m.mode == 'r' and m.tolist() == [[0, 1, 2], [3, 4, 5]] and not m.flags.writeable and type(m.base).__name__ == 'mmap'",
    ),
    (
        "import numpy as np\nnp.arange(4, dtype='i4').tofile('c.bin'); m = np.memmap('c.bin', 'i4', 'c'); m[0] = 9; n = np.memmap('c.bin', 'i4', 'c', order='F', shape=(2, 2))",
        "m.tolist() == [9, 1, 2, 3] and m.mode == 'c' and np.fromfile('c.bin', 'i4')[0] == 0 and n.flags.f_contiguous and n[1, 0] == 1",
    ),
    (
        "import numpy as np\nm = np.memmap('sum.bin', 'i4', 'w+', shape=3); c = m.copy(); v = c[1:]; m = m + 1",
        "m.tolist() == [1, 1, 1] and c.tolist() == [0, 0, 0] and v.shape == (2,)",
    ),
]

LOST = [
    (
        "import decimal\nkeep = decimal.getcontext\ndef broken():\n  decimal.getcontext = keep\n  raise ValueError('odd')\ndecimal.getcontext = broken; ok = 1",
        "settings of decimal",
        "settings",
        "odd",
    ),
    (
        "import logging\nclass Odd:\n  def __reduce__(s): logger.handlers.clear(); raise ValueError('odd')\nlogger = logging.getLogger('mine.lost'); handler = logging.Handler(); handler.odd = Odd(); logger.addHandler(handler); del handler; ok = 1",
        "handlers of logger 'mine.lost'",
        "list",
        "odd",
    ),
    (
        "import numpy as np, os\nm = np.memmap('lost.bin', 'i4', 'w+', shape=3); os.unlink('lost.bin'); ok = 1",
        "m",
        "memmap",
        "is gone",
    ),
    (
        "import numpy as np, os\nm = np.memmap('moved.bin', 'i4', 'w+', shape=3); os.rename('moved.bin', 'old.bin'); open('moved.bin', 'wb').write(bytes(12)); ok = 1",
        "m",
        "memmap",
        "is no more at",
    ),
    (
        "import numpy as np, tempfile\nm = np.memmap(tempfile.TemporaryFile(), 'i4', 'w+', shape=3); ok = 1",
        "m",
        "memmap",
        "without a path",
    ),
    ("m = memoryview(bytearray(8))[::2]; ok = 1", "m", "memoryview", "with steps"),
]

LOST_LATER = [
    (
        "import numpy as np\nm = np.memmap('later.bin', 'i4', 'w+', shape=3); l = [1]; k = [l]",
        "__import__('pathlib').Path('later.bin').write_bytes(bytes(13))",
        "m",
        "has changed since",
        "k[0] is l",
    ),
    ("import tempfile\nt = tempfile.TemporaryDirectory(dir='.'); ok = 1", "", "t", "is gone", "ok"),
]

KEPT = [*HIDDEN, *SINGLE, *SETTINGS, *REFERENCES, *SHARED, *MAPPED]
