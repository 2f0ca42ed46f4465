"""Bookkeeping: the real experiment's counts, and every way to be off by one.

The real design is built from its published counts alone: how many images - shared and own - have had one, two and
three showings by the end of session 30 (trial 22,500), session 32 (24,000) and session 40 (30,000) fixes all that is
counted.
"""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from capcortex.nsd.bookkeeping import (
    TRIAL_COLUMNS,
    check_identities,
    choose_sessions,
    read_experiment_design,
    read_session_trials,
    read_stimulus_table,
    read_trials,
    seen_three_times,
    seen_three_times_by_all,
)
from capcortex.nsd.facts import COUNTED_FACTS, count_facts, read_facts, require_facts
from capcortex.nsd.image_sets import (
    all_shared_images,
    draw_image_sets,
    draw_own_sets,
    draw_shared_sets,
    read_image_sets,
)
from capcortex.seeds import random_generator
from capcortex.tables import read_table, write_table

ROOT = Path(__file__).parents[2]
SUBJECTS = [f"subj{number:02d}" for number in range(1, 9)]
SESSIONS = [40, 40, 32, 30, 40, 32, 40, 30]

# Images with at least one, two, three showings by trial 22,500 and by trial 24,000 (NSD data manual). The number of
# shared images seen twice by trial 24,000 is not published: any number that shared images can reach will do.
SHARED_BY = {22_500: (907, 766, 515), 24_000: (930, 816, 614)}
ALL_BY = {22_500: (9209, 7846, 5445), 24_000: (9411, 8355, 6234)}


@dataclasses.dataclass(frozen=True)
class Design:
    """A planned experiment and how far each subject came, to be written as NSD's own files."""

    master_ordering: np.ndarray
    subject_images: np.ndarray
    n_shared: int
    n_images: int
    sessions: list[int]
    trials_per_session: int

    @property
    def shared(self):
        return self.subject_images[0, : self.n_shared]

    def write_design(self, folder, **changed):
        fields = {
            "masterordering": self.master_ordering[None, :],
            "subjectim": self.subject_images,
            "sharedix": self.shared[None, :],
        } | changed
        path = folder / "nsd_expdesign.mat"
        scipy.io.savemat(path, {key: np.asarray(value, dtype=float) for key, value in fields.items()})
        return path

    def responses(self, number):
        rows = np.arange(self.sessions[number - 1] * self.trials_per_session)
        return pd.DataFrame(
            {
                "SUBJECT": number,
                "SESSION": rows // self.trials_per_session + 1,
                "RUN": 1,
                "TRIAL": 1,
                "73KID": self.subject_images[number - 1, self.master_ordering[rows] - 1],
                "10KID": self.master_ordering[rows],
                "RT": np.nan,
            }
        )

    def write_responses(self, folder, number, table=None):
        path = folder / f"responses_{number}.tsv"
        (self.responses(number) if table is None else table).to_csv(path, sep="\t", index=False, na_rep="NaN")
        return path

    def stimuli(self):
        nsd_id = np.arange(self.n_images)
        table = pd.DataFrame({"cocoId": nsd_id + 5, "nsdId": nsd_id}, index=nsd_id)
        table["shared1000"] = np.isin(nsd_id + 1, self.shared)
        # Trial numbers of the showings of each 10k image, in order of time.
        showings = np.argsort(self.master_ordering, kind="stable").reshape(-1, 3) + 1
        for number, images in enumerate(self.subject_images, start=1):
            table[f"subject{number}"] = np.isin(nsd_id + 1, images).astype(int)
            for repeat in range(3):
                column = np.zeros(self.n_images, dtype=int)
                column[images - 1] = showings[:, repeat]
                table[f"subject{number}_rep{repeat}"] = column
        return table

    def write_stimuli(self, folder, table=None):
        path = folder / "nsd_stim_info_merged.csv"
        (self.stimuli() if table is None else table).to_csv(path)
        return path

    def read(self, folder):
        design = read_experiment_design(self.write_design(folder))
        stimuli = read_stimulus_table(self.write_stimuli(folder))
        parts = [read_trials(self.write_responses(folder, k + 1), name) for k, name in enumerate(SUBJECTS)]
        return design, pd.concat(parts, ignore_index=True), stimuli


def order_with_counts(rng, groups):
    """Order three showings of every image so that given numbers of images have 1, 2, 3 showings at each stage.

    ``groups``: for each group of images, their ids and the numbers with at least (1, 2, 3) showings after each stage
    but the last. Returns the trials of each stage.
    """
    stages = [[] for _ in range(len(groups[0][1]) + 1)]
    for images, counts in groups:
        order = rng.permutation(images)
        before = np.zeros(len(order), dtype=int)
        for stage, at_least in zip(stages, [*counts, (len(order),) * 3], strict=True):
            # The first image of ``order`` is the most advanced one: "at least k" images are the first at_least[k-1].
            after = sum((np.arange(len(order)) < number).astype(int) for number in at_least)
            assert (after >= before).all()
            stage.append(np.repeat(order, after - before))
            before = after
    return [rng.permutation(np.concatenate(stage)) for stage in stages]


@pytest.fixture(scope="session")
def real():
    """The Natural Scenes Dataset's experiment, as far as its counts tell."""
    rng = np.random.default_rng(73_000)
    own_by = [tuple(a - s for a, s in zip(ALL_BY[t], SHARED_BY[t], strict=True)) for t in ALL_BY]
    groups = [(np.arange(1, 1001), list(SHARED_BY.values())), (np.arange(1001, 10_001), own_by)]
    stages = order_with_counts(rng, groups)
    assert [len(stage) for stage in stages] == [22_500, 1_500, 6_000]
    first = stages[0]
    at = np.flatnonzero(first == 626)
    if not at.size:  # give the first showing to image 626, in exchange with an image of the same kind
        other = first[first <= 1000][0]
        stages = [np.select([stage == 626, stage == other], [other, 626], stage) for stage in stages]
        first = stages[0]
        at = np.flatnonzero(first == 626)
    first[[0, at[0]]] = first[[at[0], 0]]
    # Shared images ascend from 2951 to 72949, and the 626th is 46003.
    below = rng.choice(np.arange(2952, 46_003), 624, replace=False)
    above = rng.choice(np.arange(46_004, 72_949), 373, replace=False)
    shared = np.sort(np.concatenate([[2951, 46_003, 72_949], below, above]))
    own = rng.permutation(np.setdiff1d(np.arange(1, 73_001), shared)).reshape(8, 9000)
    images = np.hstack([np.tile(shared, (8, 1)), own])
    return Design(np.concatenate(stages), images, 1000, 73_000, SESSIONS, 750)


@pytest.fixture(scope="session")
def real_files(real, tmp_path_factory):
    return real.read(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def small():
    """A small experiment: 30 images per subject, 12 of them shared, 3 or 2 of 3 sessions done."""
    rng = np.random.default_rng(3)
    ids = rng.permutation(np.arange(1, 12 + 8 * 18 + 5))  # four images belong to nobody
    shared, own = np.sort(ids[:12]), ids[12 : 12 + 8 * 18].reshape(8, 18)
    ordering = rng.permutation(np.repeat(np.arange(1, 31), 3))
    return Design(ordering, np.hstack([np.tile(shared, (8, 1)), own]), 12, ids.size, [3, 3, 2, 2, 3, 2, 3, 2], 30)


@pytest.fixture(scope="session")
def small_files(small, tmp_path_factory):
    return small.read(tmp_path_factory.mktemp("small"))


# The real counts


def acceptance():
    table = read_facts(ROOT / "config/acceptance_nsd.tsv")
    return table[table["fact"].isin(COUNTED_FACTS)].astype({"expected": int})


def test_real_counts_pass_all_checks(real_files):
    design, trials, stimuli = real_files
    check_identities(design, trials, stimuli)
    require_facts(count_facts(design, trials, stimuli), acceptance(), table="acceptance_nsd.tsv")


def test_acceptance_table_states_the_published_counts():
    table = acceptance()
    assert not table.duplicated(["fact", "subject"]).any()
    stated = table.pivot(index="fact", columns="subject", values="expected")
    by = {30: 22_500, 32: 24_000}
    for subject, sessions in zip(SUBJECTS, SESSIONS, strict=True):
        once, twice, thrice = ALL_BY[by[sessions]] if sessions in by else (10_000,) * 3
        shared_once, _, shared_thrice = SHARED_BY[by[sessions]] if sessions in by else (1_000,) * 3
        assert stated.loc["sessions", subject] == sessions
        assert stated.loc["trials", subject] == sessions * 750 == once + twice + thrice
        assert stated.loc["images_at_least_once", subject] == once
        assert stated.loc["images_at_least_twice", subject] == twice
        assert stated.loc["images_three_times", subject] == thrice
        assert stated.loc["shared_at_least_once", subject] == shared_once
        assert stated.loc["shared_three_times", subject] == shared_thrice
    everybody = stated["all"].dropna().astype(int).to_dict()
    assert everybody == {
        "images_in_stimulus_table": 73_000,
        "first_shared_id73k": 2951,
        "last_shared_id73k": 72_949,
        "shared_images": 1000,
        "trials_of_all_subjects": sum(SESSIONS) * 750,
        "images_seen_by_any_subject": 70_566,
        "shared_images_three_times_by_all": 515,
    }
    assert stated.loc["first_trial_id73k", "subj01"] == 46_003
    assert stated.loc["first_trial_id10k", "subj01"] == 626


def test_every_stated_fact_is_compared(real_files):
    found = count_facts(*real_files)
    table = acceptance()
    for row in table.index:
        wrong = table.copy()
        wrong.loc[row, "expected"] += 1
        fact, subject, expected = table.loc[row, ["fact", "subject", "expected"]]
        message = rf"^{fact} of {subject}: found {expected} in the files, a\.tsv says {expected + 1}"
        with pytest.raises(ValueError, match=message):
            require_facts(found, wrong, table="a.tsv")


def test_facts_that_are_counted_are_the_ones_that_have_names(real_files):
    assert set(count_facts(*real_files)["fact"]) == set(COUNTED_FACTS) == set(acceptance()["fact"])


def test_unknown_fact_is_refused(real_files):
    wrong = pd.DataFrame({"fact": ["imagse"], "subject": ["all"], "expected": [1]})
    with pytest.raises(ValueError, match=r"a\.tsv: fact imagse of all"):
        require_facts(count_facts(*real_files), wrong, table="a.tsv")


def test_facts_of_subjects_not_used_are_passed_over(real_files):
    design, trials, stimuli = real_files
    some = trials[trials["subject"].isin(["subj03", "subj04"])]
    check_identities(design, some, stimuli)
    require_facts(count_facts(design, some, stimuli), acceptance(), table="a.tsv")
    wrong = acceptance()
    wrong.loc[(wrong["fact"] == "images_three_times") & (wrong["subject"] == "subj04"), "expected"] = 5446
    with pytest.raises(ValueError, match="images_three_times of subj04: found 5445"):
        require_facts(count_facts(design, some, stimuli), wrong, table="a.tsv")


def test_all_files_moved_alike_pass_each_other_but_not_the_facts(real, tmp_path):
    # Ids of all three files one too high agree with one another; the known ids of the real dataset tell.
    moved = dataclasses.replace(real, subject_images=real.subject_images % 73_000 + 1)
    order = np.argsort(moved.shared)  # 72949 -> 72950: still ascending
    assert (np.diff(order) == 1).all()
    design, trials, stimuli = moved.read(tmp_path)
    check_identities(design, trials, stimuli)
    with pytest.raises(ValueError, match="first_shared_id73k of all: found 2952"):
        require_facts(count_facts(design, trials, stimuli), acceptance(), table="a.tsv")


def subjects_of_nsd():
    columns = ["subject", "sessions", "trials_per_session", "image_sets"]
    return read_table(ROOT / "config/subjects_nsd.tsv", columns=columns).to_dict("records")


def of_subject(trials, subject):
    return trials[trials["subject"] == subject]


def test_subjects_table_of_nsd_fits(real_files):
    _, trials, _ = real_files
    rows = subjects_of_nsd()
    assert [row["image_sets"] for row in rows] == [100, 100, 62, 54, 100, 62, 100, 54]
    for row in rows:
        own = of_subject(trials, row["subject"])
        lengths = {key: row[key] for key in ("sessions", "trials_per_session")}
        pd.testing.assert_frame_equal(choose_sessions(own, **lengths), own)
        table = draw_own_sets(own, n_sets=row["image_sets"], size=100, seed=1)
        assert table["image_set"].nunique() == row["image_sets"]
        for step in (-1, 1):
            wrong = row["image_sets"] + step
            with pytest.raises(
                ValueError, match=rf"{row['subject']}: .* says image_sets {wrong}; .*: write {row['image_sets']}"
            ):
                draw_own_sets(own, n_sets=wrong, size=100, seed=1)
        with pytest.raises(ValueError, match=r"says trials_per_session 749, session 1 in responses\.tsv has 750"):
            choose_sessions(own, **lengths | {"trials_per_session": 749})
    with pytest.raises(ValueError, match=r"shared_image_sets is 6; the 515 images .* give 5 of 100: set it to 5"):
        draw_shared_sets(trials, n_sets=6, size=100, seed=1)


def test_more_sessions_than_were_recorded_are_refused_with_both_numbers(small_files):
    _, trials, _ = small_files
    own = of_subject(trials, "subj03")
    assert own["session"].max() == 2
    message = r"subj03: .* says sessions 3, responses\.tsv records 2: write 2, or fewer"
    with pytest.raises(ValueError, match=message):
        choose_sessions(own, sessions=3, trials_per_session=30)


def test_session_of_another_length_is_named(small_files):
    _, trials, _ = small_files
    own = of_subject(trials, "subj01")
    short = own.drop(own[own["session"] == 2].index[:1])
    choose_sessions(short, sessions=1, trials_per_session=30)  # a session that is not used may have any length
    for sessions in (2, 3):
        with pytest.raises(
            ValueError, match=r"subj01: .* says trials_per_session 30, session 2 in responses\.tsv has 29"
        ):
            choose_sessions(short, sessions=sessions, trials_per_session=30)


def test_a_subject_without_an_image_set_is_told_what_to_do(small_files):
    _, trials, _ = small_files
    first = choose_sessions(of_subject(trials, "subj01"), sessions=1, trials_per_session=30)
    n_images = seen_three_times(first).size
    message = rf"says image_sets 2; the {n_images} images seen three times in the 1 sessions used give 0 of 20: leave the subject"
    with pytest.raises(ValueError, match=message):
        draw_own_sets(first, n_sets=2, size=20, seed=1)


# Part of the sessions


@given(st.lists(st.lists(st.integers(1, 6), min_size=4, max_size=4), min_size=1, max_size=5), st.data())
def test_showings_are_counted_in_the_sessions_used(sessions_of_images, data):
    """Against counting one by one in plain lists, for any order of showings."""
    shown = [image for images in sessions_of_images for image in images]
    recorded = pd.DataFrame(
        {
            "subject": "subj02",
            "session": np.repeat(np.arange(len(sessions_of_images)) + 1, 4),
            "trial": np.tile([1, 2, 3, 4], len(sessions_of_images)),
            "id73k": shown,
            "id10k": shown,
        }
    )
    n = data.draw(st.integers(1, len(sessions_of_images)))
    used = choose_sessions(recorded, sessions=n, trials_per_session=4)
    assert list(used.columns) == TRIAL_COLUMNS
    here = shown[: 4 * n]
    assert used["id73k"].tolist() == here
    assert used["showing"].tolist() == [here[: k + 1].count(image) for k, image in enumerate(here)]
    assert used["showings"].tolist() == [here.count(image) for image in here]
    assert seen_three_times(used).tolist() == sorted({image for image in here if here.count(image) == 3})


def test_an_image_shown_three_times_may_have_been_shown_less_often_in_the_first_sessions(real_files):
    _, trials, _ = real_files
    own = of_subject(trials, "subj01")
    used = choose_sessions(own, sessions=30, trials_per_session=750)
    # The numbers of those who stopped after 30 sessions, because all follow one plan.
    assert seen_three_times(used).size == ALL_BY[22_500][2] == 5445
    assert (own.iloc[: len(used)]["showings"].to_numpy() == 3).all()
    assert draw_own_sets(used, n_sets=54, size=100, seed=1)["image_set"].nunique() == 54
    with pytest.raises(ValueError, match="in the 30 sessions used give 54 of 100: write 54"):
        draw_own_sets(used, n_sets=100, size=100, seed=1)


def test_facts_and_identities_are_those_of_all_that_was_recorded(real_files):
    """They say whether the file is NSD's: of a part of the trials they would be others."""
    design, trials, stimuli = real_files
    used = choose_sessions(of_subject(trials, "subj01"), sessions=30, trials_per_session=750)
    with pytest.raises(ValueError, match="sessions of subj01: found 30"):
        require_facts(count_facts(design, used, stimuli), acceptance(), table="a.tsv")


@settings(max_examples=20)
@given(st.integers(1, 3), st.data())
def test_a_session_is_read_as_it_was_written(small_files, tmp_path_factory, sessions, data):
    _, trials, _ = small_files
    used = choose_sessions(of_subject(trials, "subj05"), sessions=sessions, trials_per_session=30)
    path = tmp_path_factory.mktemp("trials") / "subj05.tsv"
    write_table(used, path)
    session = data.draw(st.integers(1, sessions))
    found = read_session_trials(path, session)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), used[used["session"] == session].reset_index(drop=True))
    with pytest.raises(ValueError, match=rf"subj05\.tsv: no trial of session {sessions + 1}"):
        read_session_trials(path, sessions + 1)


# What the readers return


def test_design_is_read_as_written(small, small_files):
    design, _, _ = small_files
    assert np.array_equal(design.master_ordering, small.master_ordering)
    assert np.array_equal(design.subject_images, small.subject_images)
    assert np.array_equal(design.shared, small.shared)
    assert design.subject_images.dtype == design.master_ordering.dtype == design.shared.dtype == np.int64


def test_small_matlab_types_do_not_overflow(small, tmp_path):
    # MATLAB stores whole doubles in the smallest type that holds them.
    path = small.write_design(tmp_path)
    fields = {key: value.astype(np.uint8) for key, value in scipy.io.loadmat(path).items() if key[0] != "_"}
    scipy.io.savemat(path, fields)
    design = read_experiment_design(path)
    assert (design.subject_images - 256 < 0).all()
    assert (np.diff(design.shared[::-1]) < 0).all()


def test_trials_are_those_of_the_responses(small, small_files):
    _, trials, _ = small_files
    assert list(trials.columns) == TRIAL_COLUMNS
    for number, subject in enumerate(SUBJECTS, start=1):
        own = trials[trials["subject"] == subject].reset_index(drop=True)
        raw = small.responses(number)
        assert own["id73k"].tolist() == raw["73KID"].tolist()
        assert own["id10k"].tolist() == raw["10KID"].tolist()
        # Session and trial by division, showings by counting one by one.
        row = np.arange(len(raw))
        assert own["session"].tolist() == (row // 30 + 1).tolist()
        assert own["trial"].tolist() == (row % 30 + 1).tolist()
        ids = raw["73KID"].tolist()
        assert own["showing"].tolist() == [ids[: k + 1].count(value) for k, value in enumerate(ids)]
        assert own["showings"].tolist() == [ids.count(value) for value in ids]


def test_stimulus_table_gets_ids_from_one(small_files):
    stimuli = small_files[2]
    assert stimuli["id73k"].tolist() == list(range(1, len(stimuli) + 1))


def test_seen_three_times_counts_what_was_shown(small, small_files):
    _, trials, _ = small_files
    sets = []
    for number, subject in enumerate(SUBJECTS, start=1):
        shown = small.responses(number)["73KID"].tolist()
        expected = sorted({value for value in shown if shown.count(value) == 3})
        assert seen_three_times(trials[trials["subject"] == subject]).tolist() == expected
        sets.append(set(expected))
    assert seen_three_times_by_all(trials).tolist() == sorted(set.intersection(*sets))
    assert 0 < len(set.intersection(*sets)) < 12  # the example tells "all" from "any" and from "shared"


def test_order_of_subjects_does_not_matter(small_files):
    _, trials, _ = small_files
    turned = pd.concat([trials[trials["subject"] == subject] for subject in SUBJECTS[::-1]], ignore_index=True)
    assert np.array_equal(seen_three_times_by_all(trials), seen_three_times_by_all(turned))


# Slips


def slip_in_design(real, tmp_path, **changed):
    return read_experiment_design(real.write_design(tmp_path, **changed))


@pytest.fixture(params=["small", "real"])
def dataset(request):
    """The experiment and what the readers make of its files, at both sizes."""
    return request.getfixturevalue(request.param), request.getfixturevalue(f"{request.param}_files")


@pytest.mark.parametrize("step", [-1, 1])
def test_responses_off_by_one(dataset, tmp_path, step):
    experiment, (design, _, stimuli) = dataset
    table = experiment.responses(3)
    table["73KID"] += step
    if (table["73KID"] < 1).any():
        with pytest.raises(ValueError, match=r"responses_3\.tsv: 73KID: ids are whole numbers from 1"):
            read_trials(experiment.write_responses(tmp_path, 3, table), "subj03")
        return
    trials = read_trials(experiment.write_responses(tmp_path, 3, table), "subj03")
    planned = table["73KID"][0] - step
    message = rf"subj03, trial 1: responses\.tsv shows id73k {planned + step}, nsd_expdesign\.mat plans {planned}"
    with pytest.raises(ValueError, match=message):
        check_identities(design, trials, stimuli)


def test_responses_10k_id_off_by_one(dataset, tmp_path):
    experiment, (design, _, stimuli) = dataset
    table = experiment.responses(3)
    table["10KID"] += 1
    trials = read_trials(experiment.write_responses(tmp_path, 3, table), "subj03")
    with pytest.raises(ValueError, match=r"subj03, trial 1: responses\.tsv shows id10k"):
        check_identities(design, trials, stimuli)


def test_one_lost_trial(dataset, tmp_path):
    # Everything after it is one trial early.
    experiment, (design, _, stimuli) = dataset
    table = experiment.responses(2).drop(index=20)
    trials = read_trials(experiment.write_responses(tmp_path, 2, table), "subj02")
    with pytest.raises(ValueError, match=r"subj02, trial 2\d: responses\.tsv shows id10k"):
        check_identities(design, trials, stimuli)


def test_responses_of_another_subject(small, tmp_path):
    with pytest.raises(ValueError, match=r"responses_2\.tsv: SUBJECT holds \[2\], expected only 1"):
        read_trials(small.write_responses(tmp_path, 2), "subj01")
    # Even when the SUBJECT column says otherwise, the images tell.
    path = small.write_responses(tmp_path, 1, small.responses(2).assign(SUBJECT=1))
    design, stimuli = (
        read_experiment_design(small.write_design(tmp_path)),
        read_stimulus_table(small.write_stimuli(tmp_path)),
    )
    with pytest.raises(ValueError, match=r"subj01, trial \d+: responses\.tsv shows id73k"):
        check_identities(design, read_trials(path, "subj01"), stimuli)


@pytest.mark.parametrize("column", ["SUBJECT", "SESSION", "73KID", "10KID"])
def test_missing_column_of_responses(small, tmp_path, column):
    path = small.write_responses(tmp_path, 1, small.responses(1).drop(columns=column))
    with pytest.raises(ValueError, match=rf"responses_1\.tsv: column\(s\) {column} missing"):
        read_trials(path, "subj01")


@pytest.mark.parametrize(("at", "value"), [(0, 2), (40, 5), (70, 1)])
def test_sessions_with_gaps_or_starting_late(small, tmp_path, at, value):
    table = small.responses(1)
    table.loc[at, "SESSION"] = value
    with pytest.raises(ValueError, match=r"responses_1\.tsv: SESSION must count up from 1"):
        read_trials(small.write_responses(tmp_path, 1, table), "subj01")


@pytest.mark.parametrize("index_too", [False, True])
def test_stimulus_table_counted_from_one(small, tmp_path, index_too):
    shifted = small.stimuli()
    shifted["nsdId"] += 1
    if index_too:  # both ways of counting of the file moved alike
        shifted.index = shifted.index + 1
    with pytest.raises(ValueError, match=r"nsd_stim_info_merged\.csv: row 0 has nsdId 1, expected 0"):
        read_stimulus_table(small.write_stimuli(tmp_path, shifted))


def test_stimulus_table_out_of_order(small, tmp_path):
    swapped = small.stimuli().iloc[[0, 2, 1, *range(3, small.n_images)]]
    with pytest.raises(ValueError, match="row 1 has nsdId 2, expected 1"):
        read_stimulus_table(small.write_stimuli(tmp_path, swapped))


def moved(stimuli, columns, step):
    """The stimulus table with some columns moved on by rows: each image gets the values of its neighbour."""
    return stimuli.assign(**{name: np.roll(stimuli[name].to_numpy(), step) for name in columns})


@pytest.mark.parametrize("step", [-1, 1])
def test_stimulus_rows_moved_against_their_ids(dataset, step):
    _, (design, trials, stimuli) = dataset
    with pytest.raises(ValueError, match=r"id73k \d+ is in .*nsd_stim_info_merged\.csv, column subject5"):
        check_identities(design, trials, moved(stimuli, ["subject5"], step))
    with pytest.raises(ValueError, match="column shared1000"):
        check_identities(design, trials, moved(stimuli, ["shared1000"], step))
    columns = [f"subject5_rep{repeat}" for repeat in range(3)]
    with pytest.raises(ValueError, match=r"subj05, trial 1: .*nsd_stim_info_merged\.csv \(subject5_rep0 \.\.\)"):
        check_identities(design, trials, moved(stimuli, columns, step))


@pytest.mark.parametrize("step", [-1, 1])
def test_trial_ids_off_by_one(dataset, step):
    _, (design, trials, stimuli) = dataset
    columns = [f"subject4_rep{repeat}" for repeat in range(3)]
    shifted = stimuli.assign(
        **{name: stimuli[name].where(stimuli[name] == 0, stimuli[name] + step) for name in columns}
    )
    with pytest.raises(
        ValueError, match=r"subj04, trial \d+: responses\.tsv shows id73k \d+, nsd_stim_info_merged\.csv"
    ):
        check_identities(design, trials, shifted)


def test_shared_ids_counted_from_zero(dataset, tmp_path):
    experiment, (_, trials, stimuli) = dataset
    shifted = experiment.shared[None, :] - 1
    if shifted.min() < 1:
        with pytest.raises(ValueError, match="sharedix: ids are whole numbers from 1; found 0"):
            slip_in_design(experiment, tmp_path, sharedix=shifted)
        return
    design = slip_in_design(experiment, tmp_path, sharedix=shifted)
    with pytest.raises(ValueError, match="images of subj01 in subjectim are not sharedix"):
        check_identities(design, trials, stimuli)


@pytest.mark.parametrize("step", [-1, 1])
def test_subject_images_off_by_one(dataset, tmp_path, step):
    experiment, (_, trials, stimuli) = dataset
    design = slip_in_design(experiment, tmp_path, subjectim=experiment.subject_images + step)
    with pytest.raises(
        ValueError, match=r"images of subj01 in subjectim are not sharedix|subjectim of subj01: ids are whole"
    ):
        check_identities(design, trials, stimuli)


@pytest.mark.parametrize("step", [-1, 1])
def test_own_images_off_by_one_while_shared_ones_are_right(dataset, tmp_path, step):
    experiment, (_, trials, stimuli) = dataset
    images = experiment.subject_images.copy()
    images[5, experiment.n_shared :] += step
    with pytest.raises(ValueError, match="subj06"):
        check_identities(slip_in_design(experiment, tmp_path, subjectim=images), trials, stimuli)


def test_subject_images_in_another_order(dataset, tmp_path):
    # The same set of images: only the trials can tell.
    experiment, (_, trials, stimuli) = dataset
    images = experiment.subject_images.copy()
    images[1, experiment.n_shared :] = np.roll(images[1, experiment.n_shared :], 1)
    with pytest.raises(ValueError, match=r"subj02, trial \d+: responses\.tsv shows id73k"):
        check_identities(slip_in_design(experiment, tmp_path, subjectim=images), trials, stimuli)


def test_master_ordering_off_by_one(dataset, tmp_path):
    experiment, (_, trials, stimuli) = dataset
    zero_based = experiment.master_ordering[None, :] - 1
    with pytest.raises(ValueError, match="masterordering: ids are whole numbers from 1; found 0"):
        slip_in_design(experiment, tmp_path, masterordering=zero_based)
    too_high = experiment.master_ordering[None, :] + 1
    with pytest.raises(ValueError, match=r"masterordering holds .* images each"):
        slip_in_design(experiment, tmp_path, masterordering=too_high)
    rolled = slip_in_design(experiment, tmp_path, masterordering=np.roll(experiment.master_ordering, 1)[None, :])
    with pytest.raises(ValueError, match=r"subj01, trial \d: responses\.tsv shows id10k .* nsd_expdesign\.mat plans"):
        check_identities(rolled, trials, stimuli)


def test_more_trials_than_planned(small, small_files, tmp_path):
    _, trials, stimuli = small_files
    short = slip_in_design(small, tmp_path, masterordering=small.master_ordering[None, :-1])
    with pytest.raises(ValueError, match=r"responses\.tsv of subj01 has 90 trials, nsd_expdesign\.mat plans 89"):
        check_identities(short, trials, stimuli)


def test_shared_ids_out_of_order(small, small_files, tmp_path):
    _, trials, stimuli = small_files
    design = slip_in_design(small, tmp_path, sharedix=small.shared[None, ::-1])
    with pytest.raises(ValueError, match="sharedix is not ascending"):
        check_identities(design, trials, stimuli)


@pytest.mark.parametrize("field", ["masterordering", "subjectim", "sharedix"])
def test_missing_field_of_the_design(small, tmp_path, field):
    path = small.write_design(tmp_path)
    fields = {key: value for key, value in scipy.io.loadmat(path).items() if key[0] != "_" and key != field}
    scipy.io.savemat(path, fields)
    with pytest.raises(ValueError, match=rf"nsd_expdesign\.mat: field {field} missing; found "):
        read_experiment_design(path)


def test_design_of_another_number_of_subjects(small, tmp_path):
    with pytest.raises(ValueError, match=r"subjectim has shape \(7, 30\)"):
        slip_in_design(small, tmp_path, subjectim=small.subject_images[:7])


def test_any_two_different_trials_swapped_are_noticed(small, small_files, tmp_path):
    design, trials, stimuli = small_files
    own = trials[trials["subject"] == "subj07"].reset_index(drop=True)
    ids = own[["id73k", "id10k"]].to_numpy()
    for at in np.flatnonzero(np.diff(ids[:, 0]))[:20]:
        swapped = own.copy()
        swapped.loc[[at, at + 1], ["id73k", "id10k"]] = ids[[at + 1, at]]
        with pytest.raises(ValueError, match=f"subj07, trial {at + 1}:"):
            check_identities(design, swapped, stimuli)


def test_slips_by_one_are_refused_from_a_broken_copy_of_the_files(small, tmp_path):
    """The reader, not only the arrays: a copy of the whole folder with one file off by one does not pass."""
    (tmp_path / "whole").mkdir()
    design, trials, stimuli = small.read(tmp_path / "whole")
    check_identities(design, trials, stimuli)
    broken = Path(shutil.copytree(tmp_path / "whole", tmp_path / "broken"))
    table = pd.read_csv(broken / "nsd_stim_info_merged.csv", index_col=0)
    columns = [name for name in table.columns if "rep" in name]
    table[columns] = table[columns].where(table[columns] == 0, table[columns] + 1)
    table.to_csv(broken / "nsd_stim_info_merged.csv")
    with pytest.raises(ValueError, match=r"subj01, trial 1: .* has no image"):
        check_identities(design, trials, read_stimulus_table(broken / "nsd_stim_info_merged.csv"))


# Image sets

POOL = st.lists(st.integers(1, 73_000), max_size=80, unique=True)


@given(POOL, st.integers(1, 30), st.integers(0, 2**32))
def test_image_sets_are_disjoint_and_from_the_pool(pool, size, seed):
    sets = draw_image_sets(np.array(pool, dtype=int), size, random_generator(seed, "a"))
    assert sets.shape == (len(pool) // size, size)
    assert np.unique(sets).size == sets.size
    assert set(sets.ravel()) <= set(pool)
    assert (np.diff(sets, axis=1) > 0).all()


@given(POOL, st.integers(1, 30), st.randoms(use_true_random=False))
def test_image_sets_do_not_depend_on_the_order_of_images(pool, size, random):
    shuffled = list(pool)
    random.shuffle(shuffled)
    drawn = [draw_image_sets(np.array(ids, dtype=int), size, random_generator(1, "a")) for ids in (pool, shuffled)]
    assert np.array_equal(*drawn)


def test_every_image_is_equally_likely_to_be_drawn():
    pool = np.arange(1, 31)
    drawn = np.concatenate([draw_image_sets(pool, 20, random_generator(seed, "a")).ravel() for seed in range(900)])
    counts = np.bincount(drawn, minlength=31)[1:]
    # Each image is drawn with probability 2/3: within 4.5 binomial standard deviations, 30 images (P of failure 2e-4).
    assert np.abs(counts - 600).max() < 4.5 * np.sqrt(900 * 2 / 3 * 1 / 3)


def test_repeated_images_are_refused():
    with pytest.raises(ValueError, match="id73k 3 occurs 2 times"):
        draw_image_sets(np.array([3, 3, 4]), 1, random_generator(1))


def trials_of(seen):
    """Trials of subjects who saw each of their images a number of times: {subject: {id73k: showings}}."""
    rows = [
        {"subject": subject, "session": 1, "id73k": image}
        for subject, images in seen.items()
        for image, showings in images.items()
        for _ in range(showings)
    ]
    return pd.DataFrame(rows)


SEEN = st.dictionaries(st.integers(1, 40), st.integers(1, 3), min_size=1)


def thrice(images):
    return {image for image, showings in images.items() if showings == 3}


@given(SEEN, st.integers(1, 5), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_own_sets_are_disjoint_full_and_of_images_seen_three_times(images, size, seed, random):
    trials, n_sets = trials_of({"subj06": images}), len(thrice(images)) // size
    table = draw_own_sets(trials, n_sets=n_sets, size=size, seed=seed)
    assert list(table.columns) == ["image_set", "subject", "id73k"]
    assert table["id73k"].is_unique
    assert set(table["id73k"]) <= thrice(images)
    assert table["image_set"].value_counts().to_dict() == {f"subj06-{k:03d}": size for k in range(1, n_sets + 1)}
    assert len(thrice(images)) - len(table) < size  # what is not used would not make a set
    order = list(range(len(trials)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(draw_own_sets(trials.iloc[order], n_sets=n_sets, size=size, seed=seed), table)


@given(st.dictionaries(st.sampled_from(SUBJECTS), SEEN, min_size=1), st.integers(1, 3), st.integers(0, 1000))
def test_shared_sets_are_of_images_that_all_saw_three_times(seen, size, seed):
    everybody = set.intersection(*map(thrice, seen.values()))
    table = draw_shared_sets(trials_of(seen), n_sets=len(everybody) // size, size=size, seed=seed)
    assert table["id73k"].is_unique
    assert set(table["id73k"]) <= everybody
    assert table["image_set"].tolist() == [
        f"shared-{k + 1:03d}" for k in range(len(everybody) // size) for _ in range(size)
    ]
    assert set(table["subject"]) <= {"all"}
    turned = dict(reversed(seen.items()))
    again = draw_shared_sets(trials_of(turned), n_sets=len(everybody) // size, size=size, seed=seed)
    pd.testing.assert_frame_equal(again, table)


@given(st.dictionaries(st.sampled_from(SUBJECTS), SEEN, min_size=2))
def test_all_shared_images_are_listed_whatever_the_order_of_subjects(seen):
    listed = all_shared_images(trials_of(seen))
    assert list(listed.columns) == ["image_set", "subject", "id73k"]
    assert listed["id73k"].tolist() == sorted(set.intersection(*map(thrice, seen.values())))
    assert set(listed["image_set"]) <= {"shared-all"} and set(listed["subject"]) <= {"all"}
    pd.testing.assert_frame_equal(all_shared_images(trials_of(dict(reversed(seen.items())))), listed)


@given(SEEN, st.sampled_from(SUBJECTS), st.sampled_from(SUBJECTS), st.integers(0, 1000))
def test_a_draw_is_that_of_its_subject_and_seed(images, one, other, seed):
    """The same images under two names or seeds: each name and seed has a generator of its own, and nothing else matters."""

    def draw(subject, seed):
        n_sets = len(thrice(images)) // 2
        return draw_own_sets(trials_of({subject: images}), n_sets=n_sets, size=2, seed=seed)["id73k"].tolist()

    def expected(subject, seed):
        pool = np.array(sorted(thrice(images)), dtype=int)
        return draw_image_sets(pool, 2, random_generator(seed, "image-sets", subject)).ravel().tolist()

    for subject, value in ((one, seed), (other, seed), (one, seed + 1)):
        assert draw(subject, value) == expected(subject, value)


def test_image_sets_of_the_real_counts(real_files, tmp_path):
    _, trials, _ = real_files
    n_sets = {row["subject"]: row["image_sets"] for row in subjects_of_nsd()}
    for subject, number in n_sets.items():
        table = draw_own_sets(of_subject(trials, subject), n_sets=number, size=100, seed=20250807)
        write_table(table, tmp_path / f"{subject}.tsv")
    write_table(draw_shared_sets(trials, n_sets=5, size=100, seed=20250807), tmp_path / "shared.tsv")
    everybody = set.intersection(*(set(seen_three_times(rows)) for _, rows in trials.groupby("subject")))
    assert len(everybody) == 515
    for subject, number in n_sets.items():
        sets, labels = read_image_sets([tmp_path / f"{subject}.tsv", tmp_path / "shared.tsv"])
        assert labels == [f"{subject}-{k:03d}" for k in range(1, number + 1)] + [f"shared-{k:03d}" for k in range(1, 6)]
        own, shared = sets[:number], sets[number:]
        assert own.shape == (number, 100)
        assert shared.shape == (5, 100)
        assert np.unique(own).size == own.size
        assert set(own.ravel()) <= set(seen_three_times(of_subject(trials, subject)))
        assert np.unique(shared).size == 500
        assert set(shared.ravel()) <= everybody
    sets, labels = read_image_sets([*(tmp_path / f"{subject}.tsv" for subject in n_sets), tmp_path / "shared.tsv"])
    assert len(labels) == len(set(labels)) == sets.shape[0] == 632 + 5


def test_without_shared_sets_their_table_is_empty_and_read(small_files, tmp_path):
    _, trials, _ = small_files
    own = of_subject(trials, "subj01")
    write_table(draw_own_sets(own, n_sets=3, size=10, seed=1), tmp_path / "own.tsv")
    n_common = seen_three_times_by_all(trials).size
    write_table(draw_shared_sets(trials, n_sets=0, size=n_common + 1, seed=1), tmp_path / "shared.tsv")
    sets, labels = read_image_sets([tmp_path / "own.tsv", tmp_path / "shared.tsv"])
    assert labels == ["subj01-001", "subj01-002", "subj01-003"]
    assert sets.dtype == np.int64
    assert sets.shape == (3, 10)


def test_different_seeds_and_subjects_give_different_sets(real_files):
    own = of_subject(real_files[1], "subj04")
    tables = [draw_own_sets(own, n_sets=54, size=100, seed=seed) for seed in (1, 2)]
    assert not np.array_equal(tables[0]["id73k"], tables[1]["id73k"])
    # Two subjects who saw the same: their own sets and the shared ones come from one pool, but are separate draws.
    twins = pd.concat([own, own.assign(subject="twin")], ignore_index=True)
    shared = draw_shared_sets(twins, n_sets=54, size=100, seed=1)
    assert not np.array_equal(tables[0]["id73k"], shared["id73k"])


def test_one_subject_shares_images_with_nobody(small_files, tmp_path):
    own = of_subject(small_files[1], "subj01")
    assert seen_three_times(own).size == 30
    assert seen_three_times_by_all(own).size == 0
    write_table(all_shared_images(own), tmp_path / "shared-all.tsv")
    assert read_image_sets([tmp_path / "shared-all.tsv"])[0].size == 0
    assert draw_shared_sets(own, n_sets=0, size=10, seed=1).empty
    with pytest.raises(ValueError, match="shared_image_sets is 3; one subject shares images with nobody: set it to 0"):
        draw_shared_sets(own, n_sets=3, size=10, seed=1)
