"""The namespaces of torch: on a GPU they are run by tests/gpu, on the CPU by test_torch."""

from typing import NamedTuple


class Case(NamedTuple):
    """A namespace: code that makes it on a GPU, and what holds of it after it was restored.

    ``told`` is part of a notice that has to come with it.
    """

    id: str
    code: str
    check: str
    told: str = ""


CASES = (
    Case(
        "tensor",
        """
import torch
x = torch.arange(10.)
""",
        "torch.equal(x, torch.arange(10.))",
    ),
    Case(
        "cuda tensor",
        """
import torch
x = torch.arange(10., device='cuda')
""",
        "x.tolist() == list(range(10)) and (x.is_cuda == torch.cuda.is_available())",
    ),
    Case(
        "view shared",
        """
import torch
x = torch.zeros(10)
y = x[3:5]
""",
        "(y.fill_(7), x[3].item() == 7)[1]",
    ),
    Case(
        "cuda view shared",
        """
import torch
x = torch.zeros(10, device='cuda')
y = x.view(2,5)[1]
""",
        "(y.fill_(7), x[5].item() == 7)[1]",
    ),
    Case(
        "tied weights",
        """
import torch
import torch.nn as nn
class M(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Embedding(5,4)
        s.b = nn.Linear(4,5,bias=False)
        s.b.weight = s.a.weight
    def forward(s,i): return s.b(s.a(i))
m = M().cuda()
out = m(torch.tensor([1],device='cuda')).sum().item()
""",
        (
            "m.a.weight is m.b.weight and "
            "abs(m(torch.tensor([1],device=m.a.weight.device)).sum().item() - out) < 1e-4"
        ),
    ),
    Case(
        "optimizer",
        """
import torch
import torch.nn as nn
torch.manual_seed(1)
m = nn.Linear(3,1).cuda()
o = torch.optim.Adam(m.parameters(), lr=.1)
def step():
    o.zero_grad()
    l = ((m(torch.ones(2,3,device=m.weight.device))-2)**2).mean()
    l.backward()
    o.step()
    return l.item()
for _ in range(5): step()
import copy
m2 = copy.deepcopy(m)
o2 = torch.optim.Adam(m2.parameters(), lr=.1)
o2.load_state_dict(copy.deepcopy(o.state_dict()))
m_keep, o_keep = m, o
m, o = m2, o2
expected = [step() for _ in range(3)]
m, o = m_keep, o_keep
del m2, o2, m_keep, o_keep
""",
        (
            "o.param_groups[0]['params'][0] is m.weight and "
            "all(abs(a-b)<1e-4 for a,b in zip([step() for _ in range(3)], expected))"
        ),
    ),
    Case(
        "grad",
        """
import torch
x = torch.ones(3, requires_grad=True)
(x*2).sum().backward()
""",
        "x.grad.tolist() == [2,2,2] and x.requires_grad",
    ),
    Case(
        "grad of parameters",
        """
import torch
m = torch.nn.Linear(2,1).cuda()
(m(torch.ones(3,2,device='cuda'))**2).sum().backward()
w = m.weight
g = w.grad
expected = g.tolist()
""",
        (
            "m.weight is w and w.grad is g and g.tolist() == expected and "
            "isinstance(w, torch.nn.Parameter) and w.requires_grad and g.device == w.device"
        ),
    ),
    Case(
        "tensor subclass",
        """
import torch
class T(torch.Tensor): pass
x = torch.ones(3).as_subclass(T)
""",
        "type(x) is T and x.sum().item() == 3",
    ),
    Case(
        "buffer",
        """
import torch
b = torch.nn.Buffer(torch.ones(2))
""",
        "b.tolist() == [1,1]",
    ),
    Case(
        "graph",
        """
import torch
x = torch.ones(3, requires_grad=True)
y = (x*2)
z = [y.sum()]
""",
        "y.tolist() == [2,2,2] and y.requires_grad and x.is_leaf and z[0].item() == 6",
        told="y, z: no longer known how it was computed",
    ),
    Case(
        "bfloat16",
        """
import torch
x = torch.ones(3, dtype=torch.bfloat16)
""",
        "x.dtype == torch.bfloat16 and x.sum().item() == 3",
    ),
    Case(
        "sparse",
        """
import torch
x = torch.eye(3).to_sparse()
""",
        "torch.equal(x.to_dense(), torch.eye(3))",
    ),
    Case(
        "parameter",
        """
import torch
x = torch.nn.Parameter(torch.ones(2))
""",
        "isinstance(x, torch.nn.Parameter) and x.requires_grad",
    ),
    Case(
        "scheduler",
        """
import torch
m = torch.nn.Linear(2,2)
o = torch.optim.SGD(m.parameters(), lr=1.)
s = torch.optim.lr_scheduler.StepLR(o, 1)
o.step()
s.step()
""",
        (
            "s.optimizer is o and abs(o.param_groups[0]['lr']-.1) < 1e-9 and "
            "o.param_groups[0]['params'][0] is m.weight"
        ),
    ),
    Case(
        "dataset",
        """
import torch
from torch.utils.data import DataLoader, TensorDataset
d = DataLoader(TensorDataset(torch.arange(6)), batch_size=2)
""",
        "[b[0].tolist() for b in d] == [[0,1],[2,3],[4,5]]",
    ),
    Case(
        "generator",
        """
import torch
g = torch.Generator().manual_seed(3)
_ = torch.rand(2, generator=g)
h = torch.Generator()
h.set_state(g.get_state())
expected = torch.rand(3, generator=h).tolist()
del h
""",
        "torch.rand(3, generator=g).tolist() == expected",
    ),
    Case(
        "random state",
        """
import torch
torch.manual_seed(5)
st = torch.get_rng_state()
expected = torch.rand(3).tolist()
torch.set_rng_state(st)
del st
""",
        "torch.rand(3).tolist() == expected",
    ),
    Case(
        "cuda random state",
        """
import torch
torch.cuda.manual_seed(5)
st = torch.cuda.get_rng_state()
expected = torch.rand(3,device='cuda').tolist()
torch.cuda.set_rng_state(st)
del st
""",
        "(not torch.cuda.is_available()) or torch.rand(3,device='cuda').tolist() == expected",
    ),
    Case(
        "state dict",
        """
import torch
m = torch.nn.Sequential(torch.nn.Linear(2,2), torch.nn.BatchNorm1d(2)).cuda()
sd = m.state_dict()
""",
        "sd['0.weight'].data_ptr() == m[0].weight.data_ptr()",
    ),
    Case(
        "device and dtype",
        """
import torch
d = torch.device('cuda:0')
t = torch.float16
s = torch.Size([1,2])
""",
        "d.type == 'cuda' and t is torch.float16 and s == (1,2)",
    ),
    Case(
        "numpy shared",
        """
import torch, numpy as np
a = np.zeros(4)
t = torch.from_numpy(a)
u = torch.from_numpy(a[1:])
b = t[2:].numpy()
d = torch.zeros(3)
e = d.numpy()
""",
        ("a[2] = 7; d[1] = 5; t[2].item() == 7 and u[1].item() == 7 and b[0] == 7 and e[1] == 5"),
    ),
    Case(
        "numpy shared, the tensor first",
        """
import torch, numpy as np
t = None
a = np.zeros(4)
t = torch.from_numpy(a)
""",
        "a[2] = 7; t[2].item() == 7",
    ),
    Case(
        "storages of one address",
        """
import torch
b = bytearray(64)
x = torch.frombuffer(b, dtype=torch.float32, count=4)
y = torch.frombuffer(b, dtype=torch.float32, count=16)
z = torch.frombuffer(b, dtype=torch.float32, count=8)
del b
""",
        "y[1] = 7; x[1].item() == 7 and z[1].item() == 7 and y.shape == (16,) and x.shape == (4,)",
    ),
    Case(
        "storages of one address in one value",
        """
import torch
b = bytearray(64)
x = [torch.frombuffer(b, dtype=torch.float32, count=n) for n in (4, 16)]
del b
""",
        "x[1].shape == (16,) and x[0].shape == (4,)",
        told="x: tensors that shared memory have each their own",
    ),
    Case(
        "default generator",
        """
import torch
g = torch.default_generator
""",
        "g is torch.default_generator",
    ),
    Case(
        "settings",
        """
import torch
torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.set_num_threads(1)
torch.set_printoptions(precision=2); torch.backends.cudnn.benchmark = True
""",
        (
            "seen = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), "
            "str(torch.tensor(.5555)), torch.backends.cudnn.benchmark); "
            "torch.set_default_dtype(torch.float32); torch.set_grad_enabled(True); "
            "torch.set_printoptions(precision=4); torch.backends.cudnn.benchmark = False; "
            "seen == (torch.float64, False, 1, 'tensor(0.56)', True)"
        ),
    ),
    Case(
        "hook",
        """
import torch
m = torch.nn.Linear(2,2)
calls = []
h = m.register_forward_hook(lambda *a: calls.append(1))
""",
        "(m(torch.ones(1,2)), len(calls) == 1)[1]",
    ),
    Case(
        "scaler",
        """
import torch
s = torch.amp.GradScaler('cuda')
""",
        "s.get_scale() == 65536.0",
    ),
    Case(
        "big",
        """
import torch
x = torch.arange(50_000_000, device='cuda', dtype=torch.float32)
""",
        "int(x[-1].item()) == 49_999_999 or int(x[-1].item()) == 50_000_000",
    ),
    Case(
        "meta",
        """
import torch
x = torch.empty(3, device='meta')
""",
        "x.device.type == 'meta'",
    ),
    Case(
        "empty",
        """
import torch
x = torch.empty(0, device='cuda')
""",
        "x.numel() == 0",
    ),
)

#: Cases of a GPU alone, and of torch 2 alone.
_OF_A_GPU = {"cuda random state", "scaler"}
_SINCE_TORCH_2 = {"buffer", "generator", "tensor subclass"}


def on_the_cpu(*, before_torch_2: bool) -> tuple[Case, ...]:
    """Return the cases as they are on a machine without a GPU."""
    left_out = _OF_A_GPU | (_SINCE_TORCH_2 if before_torch_2 else set())
    return tuple(
        case._replace(code=case.code.replace("'cuda'", "'cpu'").replace(".cuda()", ".cpu()"))
        for case in CASES
        if case.id not in left_out
    )
