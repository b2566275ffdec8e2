"""The schedules as plain functions: who is told what, in which order, and what a kill leaves."""

import pytest
from training.tiny import settings

from labels2masks.training.rounds import alternation, made_once, one_pass, online

PERSON = "cat?dog?"


class Work:
    """Narrows and learns in folders, as recipes do; `budget` calls that do something, then a kill."""

    def __init__(self, root, budget=10**6):
        self.root, self.budget, self.calls = root, budget, []

    def write(self, folder, last, text):
        self.budget -= 1
        folder.mkdir(parents=True)
        (folder / "begun").write_text(text)
        if self.budget < 0:
            raise KeyboardInterrupt
        (folder / last).write_text(text)
        self.calls.append(folder.name)

    def narrow(self, number, model):
        asked = "nobody" if model is None else (model / "network").read_text()
        text = f"{PERSON} narrowed by [{asked}]"  # the person's labels are all that is ever narrowed
        return made_once(self.root / f"{number}-narrowed", "done", lambda to: self.write(to, "done", text))

    def learn(self, data, number, last):
        name = "end" if last else f"{number}-network"
        text = f"learnt from {(data / 'done').read_text()}"
        return made_once(self.root / name, "network", lambda to: self.write(to, "network", text))


def test_each_round_narrows_the_persons_labels(tmp_path):
    work = Work(tmp_path)
    end = alternation(3, work.narrow, work.learn)
    assert work.calls == ["1-narrowed", "1-network", "2-narrowed", "2-network", "3-narrowed", "end"]
    for number in (1, 2, 3):
        narrowed = (tmp_path / f"{number}-narrowed/done").read_text()
        before = "nobody" if number == 1 else (tmp_path / f"{number - 1}-network/network").read_text()
        assert narrowed == f"{PERSON} narrowed by [{before}]"
        # Outside of what the networks say there is the person's labels and nothing that was narrowed.
        assert narrowed.split(" narrowed by ")[0] == PERSON
    assert end == tmp_path / "end" and (end / "network").read_text().startswith("learnt from " + PERSON)


def test_one_pass_and_a_first_model(tmp_path):
    work, model = Work(tmp_path / "work"), tmp_path / "cam"
    model.mkdir()
    (model / "network").write_text("a classifier of tags")
    assert one_pass(work.narrow, work.learn, model) == tmp_path / "work/end"
    assert work.calls == ["1-narrowed", "end"]
    assert "[a classifier of tags]" in (tmp_path / "work/1-narrowed/done").read_text()
    other = Work(tmp_path / "other")
    assert alternation(1, other.narrow, other.learn, model).name == "end" and other.calls == work.calls


@pytest.mark.parametrize("killed", range(6))
def test_killed_anywhere_it_goes_on_and_does_nothing_twice(tmp_path, killed):
    whole = Work(tmp_path / "whole")
    alternation(3, whole.narrow, whole.learn)
    first = Work(tmp_path / "cut", budget=killed)
    with pytest.raises(KeyboardInterrupt):
        alternation(3, first.narrow, first.learn)
    then = Work(tmp_path / "cut")
    end = alternation(3, then.narrow, then.learn)
    assert first.calls + then.calls == whole.calls
    for file in (tmp_path / "whole").rglob("*"):
        if file.is_file():
            assert (tmp_path / "cut" / file.relative_to(tmp_path / "whole")).read_text() == file.read_text()
    assert (end / "network").exists()


def test_online_is_a_setting():
    plain = settings()
    assert online(plain).loss.consistency == 1 and online(plain, 0.5).loss.consistency == 0.5
    assert online(online(plain), 0) == plain and plain.loss.consistency == 0
