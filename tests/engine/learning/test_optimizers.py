"""The optimizers, against torch's own."""

import torch

from engine.learning.losses import masked_lm_loss
from engine.learning.optimizers import adamw, fresh_optimizer, hidden_matrices
from engine.model.bert import Bert
from engine.sizing.shape import Shape
from tests.fixtures.builders import masked_batch, teacher


def test_the_optimizer_is_the_textbooks_in_one_kernel():
    """Harm: the fused optimizer is fast and computes something else, or decays what must not decay."""
    bert, plain = teacher(), teacher()
    optimizer = adamw([(bert, 1e-2)], decay=0.1)
    assert all(group["fused"] for group in optimizer.param_groups)
    decays = {True: 0.1, False: 0.0}
    groups = [{"params": [p], "lr": 1e-2, "weight_decay": decays[p.ndim > 1]} for p in plain.parameters()]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=False, foreach=False)
    for seed in range(4):
        for model, steps in ((bert, optimizer), (plain, reference)):
            steps.zero_grad()
            masked_lm_loss(model, masked_batch(seed=seed)).backward()
            steps.step()
    for (name, tensor), other in zip(bert.named_parameters(), plain.parameters(), strict=True):
        if not name.endswith("key.bias"):  # no loss depends on it: its gradient is rounding, and Adam enlarges it
            torch.testing.assert_close(tensor, other, rtol=0, atol=1e-5, msg=name)


def test_muon_is_torchs_on_hidden_matrices_and_adamw_is_on_the_rest():
    """Harm: Muon on the vocabulary's table, which it is not for; a bias nobody trains; decay where none belongs."""
    bert, plain = teacher(), teacher()
    optimizer = fresh_optimizer("muon", bert, 1e-2, decay=0.1)
    linears = {f"{name}.weight" for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)}
    assert len(linears) == 13  # two layers of query, key, value, output, up and down, and the head's transform
    named = dict(plain.named_parameters())
    matrices = torch.optim.Muon(
        [named[name] for name in linears], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    decays = {True: 0.1, False: 0.0}
    rest = torch.optim.AdamW(
        [
            {"params": [p], "lr": 1e-2, "weight_decay": decays[p.ndim > 1]}
            for name, p in named.items()
            if name not in linears
        ],
        fused=False,
        foreach=False,
    )
    for seed in range(3):
        for model, parts in ((bert, [optimizer]), (plain, [matrices, rest])):
            masked_lm_loss(model, masked_batch(seed=seed)).backward()
            for part in parts:
                part.step()
            for part in parts:
                part.zero_grad()
    start = dict(teacher().named_parameters())
    for name, tensor in bert.named_parameters():
        assert not torch.equal(tensor, start[name]), name
        if not name.endswith("key.bias"):  # no loss depends on it
            torch.testing.assert_close(tensor, named[name], rtol=0, atol=1e-5, msg=name)


def test_muon_leaves_an_untied_decoder_to_adamw():
    """Harm: the vocabulary's projection, one row a word, is orthogonalised because it happens to be a Linear."""
    bert = Bert(Shape(layers=1, hidden=16, heads=4, vocab=50, tied=False))
    assert not any(parameter is bert.head.decoder.weight for parameter in hidden_matrices(bert))
    assert len(hidden_matrices(bert)) == 7


def test_the_rate_is_set_in_one_place_for_all_parts_of_an_optimizer():
    """Harm: warm-up and decay reach AdamW's part only, and Muon goes on at its peak."""
    bert = teacher()
    optimizer = fresh_optimizer("muon", bert, 1e-2)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    masked_lm_loss(bert, masked_batch()).backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(bert.parameters(), teacher().parameters(), strict=True))
