"""After the last step: the student is folded, scored and saved with a card that explains it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.inheritance.attention_film import frame_events
from engine.learning.masked_lm import pair_score
from engine.model.saved_models import save_model
from engine.storage.atomic import write_json
from engine.text.sentence_pairs import PairCorpus
from engine.training.before_after import measure_both
from engine.training.checkpoints import clear_older
from engine.training.run_card import student_card
from engine.training.session import Event, Session


def finish(session: Session) -> Iterator[Event]:
    """The finished student, also of a run that was stopped early. Every process of the run calls it."""
    run, method, device, rank = session.run, session.method, session.device, session.processes.rank
    yield {"kind": "prepare", "message": "Folding and scoring the student"}

    # fold
    bert = method.finish(session.learner.student).to(device.type).eval()
    lineage = method.lineage(session.learner.student)
    session.refuse_not_finite(bert)

    # score
    score = session.finite_score(method.task.scored_model(bert, lineage).to(device.type).eval(), "finished student")
    if isinstance(session.data, PairCorpus):
        score["pair_accuracy"] = pair_score(bert, session.data, device)["accuracy"]
    yield {"kind": "evaluation", "step": session.done, **score}
    yield from frame_events(session.film, bert, session.done)
    seconds = session.meter.seconds
    sides = measure_both(session.teacher.bert, bert, session.data, device) if rank == 0 else {}

    # card
    card = student_card(
        run.id,
        session.config,
        session.plan,
        bert,
        session.teacher.bert.shape,
        session.done,
        (session.teacher_score, score),
        seconds,
        session.meter.spent,
        sides,
    )
    if rank == 0:
        save_model(run.student_dir, bert, session.teacher.tokenizer, card, lineage)
        write_json(run.card_path, card)
        if not session.stopped:
            clear_older(run.checkpoints_dir)
    session.processes.leave()
    yield {"kind": "stopped" if session.stopped else "finished", "step": session.done, "card": card}
