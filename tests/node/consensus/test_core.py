"""What the engine does in single situations; sequences of them are the simulator's affair."""

import pytest
from msgspec.structs import replace

from node.consensus.interface import (
    Build,
    Built,
    Commit,
    Disagreement,
    ForeignVote,
    Fork,
    Heard,
    Memory,
    Misbehaviour,
    Persist,
    Report,
    Send,
    Skew,
    Stop,
    StopReason,
    Timer,
    Verdict,
    Verify,
    Wake,
)
from node.consensus.messages import Ask, AskBlock, Bundle, Cast, Propose
from primitives.block import Block, Body
from primitives.certificate import certificate_of
from primitives.extrinsic import Call
from primitives.types import EpochIndex, Hash, Signature, View
from primitives.vote import NO_BLOCK, evidence_of
from tests.node.consensus.engine import (
    CHAIN,
    EPOCH,
    FINALIZE,
    KEYS,
    NOTARIZE,
    NULLIFY,
    PEER,
    Engine,
    altered,
    block_on,
    chain_to_the_end,
    findings_in,
    kinds_in,
    name_of,
    not_leader,
    propose,
    quorum,
    sent_to,
    sent_votes,
    verified_in,
    vote,
    votes_in,
)

GENESIS = CHAIN.genesis
FIRST = block_on(GENESIS, 1)
LEADER = EPOCH.leader(View(1))
ME = not_leader()
OTHERS = [index for index in range(len(KEYS)) if index != ME]


def test_proposal_is_executed_and_persisted_before_the_vote() -> None:
    engine = Engine(ME)
    heard = engine.hear(propose(FIRST))
    assert heard == [Persist(FIRST), Verify(EPOCH.index, FIRST)]
    voted = engine.verdict(FIRST)
    own = vote(NOTARIZE, 1, name_of(FIRST), ME)
    assert voted == [Persist(own), Send(None, Cast(own))]


def test_leader_proposes_what_it_built() -> None:
    engine = Engine(LEADER)
    assert Build(EPOCH.index, View(1), GENESIS, engine.now, is_empty=False) in engine.first
    built = engine.core.handle(Built(engine.now, EPOCH.index, View(1), FIRST))
    own = vote(NOTARIZE, 1, name_of(FIRST), LEADER)
    sent = Send(None, Propose(EPOCH.index, View(1), FIRST, own, ()))
    assert built == [Persist(FIRST), Persist(own), sent, Heard(own)]


def test_leader_that_is_unable_to_build_tries_again_at_the_next_expiry() -> None:
    engine = Engine(LEADER)
    assert engine.core.handle(Built(engine.now, EPOCH.index, View(1), None)) == []
    assert any(isinstance(action, Build) for action in engine.expire())


def test_leader_waits_until_the_block_is_due_but_never_longer_than_a_block_time() -> None:
    leader = EPOCH.leader(View(2))
    for timestamp_ms, wait_ms in ((9_900, 400), (60_000, 500)):
        engine = Engine(leader)
        engine.now = type(engine.now)(10_000)
        parent = block_on(GENESIS, 1, timestamp_ms)
        engine.hear(propose(parent, quorum(NOTARIZE, 1, name_of(parent), without=leader)))
        engine.hear(Bundle(EPOCH.index, (), (parent,)))
        actions = engine.verdict(parent)
        assert Wake(EPOCH.index, View(2), type(engine.now)(10_000 + wait_ms)) in actions


def test_quorum_of_notarizations_is_answered_with_finalize_and_the_next_view() -> None:
    engine = Engine(ME)
    certificate = quorum(NOTARIZE, 1, name_of(FIRST), without=ME)
    actions = engine.hear(Bundle(EPOCH.index, (certificate,)))
    assert actions[0] == Persist(certificate)
    assert votes_in(actions) == [vote(FINALIZE, 1, name_of(FIRST), ME)]
    assert engine.core.view == 2
    assert any(isinstance(action, Timer) and action.view == 2 for action in actions)


def test_votes_of_others_and_the_own_make_a_certificate() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST)
    other = next(index for index in OTHERS if index != LEADER)
    actions = engine.hear(Cast(vote(NOTARIZE, 1, name_of(FIRST), other)))
    assert (
        Persist(certificate_of([vote(NOTARIZE, 1, name_of(FIRST), signer) for signer in (LEADER, ME, other)]))
        in actions
    )


def test_nobody_finalizes_a_view_that_it_nullified() -> None:
    engine = Engine(ME)
    assert kinds_in(engine.expire()) == [NULLIFY]
    actions = engine.hear(Bundle(EPOCH.index, (quorum(NOTARIZE, 1, name_of(FIRST), without=ME),)))
    assert votes_in(actions) == []
    assert engine.core.view == 2


def test_notarize_after_nullify_is_allowed() -> None:
    engine = Engine(ME)
    engine.expire()
    engine.hear(propose(FIRST))
    assert kinds_in(engine.verdict(FIRST)) == [NOTARIZE]


def test_late_notarization_of_a_past_view_is_kept_and_not_finalized() -> None:
    engine = Engine(ME)
    engine.hear(Bundle(EPOCH.index, (quorum(NULLIFY, 1, without=ME),)))
    late = quorum(NOTARIZE, 1, name_of(FIRST), without=ME)
    assert engine.hear(Bundle(EPOCH.index, (late,))) == [Persist(late)]


def test_second_proposal_of_a_view_is_evidence_and_gets_no_vote() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST)
    other = block_on(GENESIS, 1, salt=b"other")
    actions = engine.hear(propose(other))
    assert votes_in(actions) == []
    pair = (vote(NOTARIZE, 1, name_of(block), LEADER) for block in (FIRST, other))
    assert findings_in(actions) == [evidence_of(*pair)]


def test_finality_commits_once_the_block_is_executed() -> None:
    engine = Engine(ME)
    final = quorum(FINALIZE, 1, name_of(FIRST), without=ME)
    actions = engine.hear(Bundle(EPOCH.index, (final,)))
    assert any(isinstance(action, Send) and isinstance(action.message, AskBlock) for action in actions)
    assert verified_in(engine.hear(Bundle(EPOCH.index, (), (FIRST,)))) == [FIRST]
    assert engine.verdict(FIRST)[-1] == Commit(EPOCH.index, (FIRST,), final)


def test_blocks_that_nobody_asked_for_are_ignored() -> None:
    assert Engine(ME).hear(Bundle(EPOCH.index, (), (FIRST,))) == []


def test_unjustified_proposal_is_asked_about_and_never_nullified() -> None:
    me = not_leader(2)
    engine = Engine(me)
    engine.hear(Bundle(EPOCH.index, (quorum(NULLIFY, 1, without=me),)))
    orphan = block_on(FIRST.header, 2)
    actions = engine.hear(propose(orphan))
    assert sent_to(actions, EPOCH.leader_peer(View(2))) == [Ask(EPOCH.index, View(0))]
    assert votes_in(actions) == []
    assert engine.hear(propose(orphan)) == []


def test_proposal_is_justified_by_the_certificates_that_it_carries() -> None:
    me = not_leader(2)
    block = block_on(GENESIS, 2)
    assert verified_in(Engine(me).hear(propose(block, quorum(NULLIFY, 1, without=me)))) == [block]


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 2},
        {"epoch": EpochIndex(2)},
        {"author": KEYS[ME].public_key},
        {"next_set": Hash(bytes(32))},
        {"timestamp_ms": 499},
        {"view": View(2)},
    ],
)
def test_misshapen_block_is_nullified_at_once(fields: dict[str, object]) -> None:
    engine = Engine(ME)
    assert kinds_in(engine.hear(propose(altered(FIRST, **fields), view=1))) == [NULLIFY]


def test_invalid_block_is_nullified_and_the_verdict_remembered() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    assert kinds_in(engine.verdict(FIRST, Verdict.INVALID)) == [NULLIFY]
    assert votes_in(engine.hear(propose(FIRST))) == []


def test_inability_is_no_verdict_and_tried_again_at_the_next_expiry() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    assert engine.verdict(FIRST, Verdict.UNABLE) == []
    assert verified_in(engine.hear(propose(FIRST))) == []
    assert verified_in(engine.expire()) == [FIRST]


def test_block_from_the_future_waits_without_a_vote() -> None:
    engine = Engine(ME)
    early = block_on(GENESIS, 1, timestamp_ms=11_000)
    engine.hear(propose(early))
    actions = engine.verdict(early)
    assert Wake(EPOCH.index, View(1), type(engine.now)(10_800)) in actions
    assert findings_in(actions) == [Skew(LEADER, 1_000)]
    assert votes_in(actions) == []
    engine.now = type(engine.now)(10_800)
    assert kinds_in(engine.wake()) == [NOTARIZE]


def test_altered_body_is_held_against_the_relay_and_not_the_leader() -> None:
    engine = Engine(ME)
    forged = Block(FIRST.header, Body((Call(9, 9, b""),), ()))
    actions = engine.hear(replace(propose(FIRST), block=forged))
    assert findings_in(actions) == [Misbehaviour(PEER, "a body that does not belong to its header")]
    assert votes_in(actions) == []
    assert verified_in(engine.hear(propose(FIRST))) == [FIRST]


def test_proposal_of_somebody_else_is_refused() -> None:
    engine = Engine(ME)
    stranger = next(index for index in OTHERS if index != LEADER)
    wrong = replace(propose(FIRST), vote=vote(NOTARIZE, 1, name_of(FIRST), stranger))
    assert findings_in(engine.hear(wrong)) == [Misbehaviour(PEER, "a proposal that its vote is not for")]


def test_bad_signature_is_reported_and_takes_no_place() -> None:
    engine = Engine(ME)
    true = vote(NULLIFY, 1, NO_BLOCK, OTHERS[0])
    forged = replace(true, signature=Signature(bytes(64)))
    assert findings_in(engine.hear(Cast(forged))) == [Misbehaviour(PEER, "a vote with a bad signature")]
    assert findings_in(engine.hear(Cast(true))) == []
    assert engine.core.tally.holds(true)


def test_certificate_of_too_few_is_refused() -> None:
    engine = Engine(ME)
    few = certificate_of([vote(NULLIFY, 1, NO_BLOCK, signer) for signer in OTHERS[:2]])
    actions = engine.hear(Bundle(EPOCH.index, (few,)))
    assert findings_in(actions) == [Misbehaviour(PEER, "a certificate that does not hold")]
    assert engine.core.view == 1


def test_vote_far_ahead_leads_to_one_question() -> None:
    engine = Engine(ME)
    far = Cast(vote(NULLIFY, 10, NO_BLOCK, OTHERS[0]))
    assert engine.hear(far, far) == [Send(PEER, Ask(EPOCH.index, View(0)))]


def test_question_is_answered_once_until_the_timer_runs_out() -> None:
    engine = Engine(ME)
    certificate = quorum(NULLIFY, 1, without=ME)
    engine.hear(Bundle(EPOCH.index, (certificate,)))
    answer = [Bundle(EPOCH.index, (certificate,))]
    assert sent_to(engine.hear(Ask(EPOCH.index, View(0)), Ask(EPOCH.index, View(0))), PEER) == answer
    engine.expire()
    assert sent_to(engine.hear(Ask(EPOCH.index, View(0))), PEER) == answer


def test_expiry_repeats_the_votes_of_the_view() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    own = votes_in(engine.verdict(FIRST))
    again = engine.expire()
    assert sent_votes(again)[:1] == own
    assert kinds_in(again) == [NULLIFY]
    assert {vote.kind for vote in sent_votes(engine.expire())} == {NOTARIZE, NULLIFY}


def test_silent_leader_is_given_up_at_the_first_expiry_unless_it_speaks_before() -> None:
    silent = frozenset({KEYS[LEADER].public_key})
    assert kinds_in(Engine(ME, silent=silent).expire()) == [NULLIFY]
    engine, settings = Engine(ME, silent=silent), EPOCH.settings
    engine.hear(Cast(vote(NULLIFY, 1, NO_BLOCK, LEADER)))
    assert engine.expire() == [Timer(EPOCH.index, View(1), settings.period_ms - settings.delta_ms)]
    assert kinds_in(engine.expire()) == [NULLIFY]


def test_leader_repeats_its_proposal() -> None:
    engine = Engine(LEADER)
    engine.core.handle(Built(engine.now, EPOCH.index, View(1), FIRST))
    assert propose(FIRST) in sent_to(engine.expire(), None)


def test_restart_remembers_view_and_votes_and_counts_them() -> None:
    own = vote(NULLIFY, 3, NO_BLOCK, ME)
    engine = Engine(ME, Memory(votes=(own,), certificates=(quorum(NULLIFY, 2, without=ME),)))
    assert engine.core.view == 3
    assert not engine.core.ballot.may(NULLIFY)
    assert not engine.core.ballot.may(FINALIZE)
    others = [Cast(vote(NULLIFY, 3, NO_BLOCK, signer)) for signer in OTHERS[:2]]
    engine.hear(*others)
    assert engine.core.view == 4


def test_process_that_just_started_signs_nothing_until_the_first_expiry() -> None:
    engine = Engine(ME, is_listening=True)
    engine.hear(propose(FIRST))
    assert votes_in(engine.verdict(FIRST)) == []
    first = engine.expire()
    assert kinds_in(first) == [NOTARIZE]
    assert kinds_in(engine.expire()) == [NULLIFY]


def test_process_that_just_started_signs_from_the_second_view_on() -> None:
    engine = Engine(ME, is_listening=True)
    engine.hear(Bundle(EPOCH.index, (quorum(NULLIFY, 1, without=ME),)))
    assert engine.core.ballot.is_listening
    engine.hear(Bundle(EPOCH.index, (quorum(NULLIFY, 2, without=ME),)))
    assert not engine.core.ballot.is_listening


def test_vote_of_the_own_key_that_the_journal_lacks_stops_it() -> None:
    engine = Engine(ME, is_listening=True)
    foreign = vote(NULLIFY, 1, NO_BLOCK, ME)
    assert findings_in(engine.hear(Cast(foreign))) == [ForeignVote(foreign)]
    engine.expire()
    assert votes_in(engine.expire()) == []


def test_certificate_for_an_invalid_block_stops_the_validator() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST, Verdict.INVALID)
    certificate = quorum(NOTARIZE, 1, name_of(FIRST), without=ME)
    assert findings_in(engine.hear(Bundle(EPOCH.index, (certificate,)))) == [Disagreement(certificate)]
    assert votes_in(engine.expire()) == []


def test_finalization_that_contradicts_the_chain_is_a_fork_and_stops_voting() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST)
    final = quorum(FINALIZE, 1, name_of(FIRST), without=ME)
    engine.hear(Bundle(EPOCH.index, (final,)))
    other = quorum(FINALIZE, 1, name_of(block_on(GENESIS, 1, salt=b"fork")), without=ME)
    actions = engine.hear(Bundle(EPOCH.index, (other,)))
    convicted = [evidence_of(*pair) for pair in zip(final.votes(), other.votes(), strict=True)]
    assert findings_in(actions) == [*convicted, Fork(final, other)]
    assert Persist(other) in actions
    assert Persist(Stop(StopReason.FORK, EPOCH.index, View(1), other.block)) in actions
    assert votes_in(engine.expire()) == []


def test_a_second_notarization_of_a_view_convicts_whoever_signed_both() -> None:
    engine = Engine(ME)
    first = quorum(NOTARIZE, 1, name_of(FIRST), without=ME)
    second = quorum(NOTARIZE, 1, name_of(block_on(GENESIS, 1, salt=b"second")), without=ME)
    engine.hear(Bundle(EPOCH.index, (first,)))
    findings = findings_in(engine.hear(Bundle(EPOCH.index, (second,))))
    assert findings == [evidence_of(*pair) for pair in zip(first.votes(), second.votes(), strict=True)]
    assert len(findings) == 3
    assert findings_in(engine.hear(Bundle(EPOCH.index, (second,)))) == []


def test_a_finalization_of_what_is_final_already_convicts_whoever_gave_the_view_up() -> None:
    traitor, *others = OTHERS
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST)
    engine.hear(Bundle(EPOCH.index, (quorum(NOTARIZE, 1, name_of(FIRST), without=ME),)))
    engine.hear(*(Cast(vote(FINALIZE, 1, name_of(FIRST), other)) for other in others))
    assert engine.core.tree.tip == FIRST.header
    given_up = vote(NULLIFY, 1, NO_BLOCK, traitor)
    assert findings_in(engine.hear(Cast(given_up))) == []
    final = quorum(FINALIZE, 1, name_of(FIRST), without=ME)
    [said] = [one for one in final.votes() if one.signer == traitor]
    assert findings_in(engine.hear(Bundle(EPOCH.index, (final,)))) == [evidence_of(given_up, said)]
    assert findings_in(engine.hear(Bundle(EPOCH.index, (final,)))) == []


def test_a_forged_second_notarization_costs_its_sender_and_convicts_nobody() -> None:
    engine = Engine(ME)
    engine.hear(Bundle(EPOCH.index, (quorum(NOTARIZE, 1, name_of(FIRST), without=ME),)))
    second = quorum(NOTARIZE, 1, bytes(32), without=ME)
    forged = replace(second, signatures=(Signature(bytes(64)), *second.signatures[1:]))
    [finding] = findings_in(engine.hear(Bundle(EPOCH.index, (forged,))))
    assert isinstance(finding, Misbehaviour)


def test_a_vote_heard_before_a_restart_convicts_and_counts_after_it() -> None:
    before = [vote(NULLIFY, 1, NO_BLOCK, (ME + 1) % 4), vote(NULLIFY, 1, NO_BLOCK, (ME + 2) % 4)]
    engine = Engine(ME, Memory(heard=tuple(before)))
    other = vote(FINALIZE, 1, name_of(FIRST), before[0].signer)
    assert findings_in(engine.hear(Cast(other))) == [evidence_of(before[0], other)]
    engine.hear(Cast(vote(NULLIFY, 1, NO_BLOCK, (ME + 3) % 4)))
    assert engine.core.view == 2


def test_an_own_vote_that_was_heard_and_is_not_in_the_journal_stops_the_key() -> None:
    foreign = vote(NULLIFY, 1, NO_BLOCK, ME)
    engine = Engine(ME, Memory(heard=(foreign,)))
    assert findings_in(engine.first) == [ForeignVote(foreign)]
    assert Persist(Stop(StopReason.FOREIGN_VOTE, EPOCH.index, View(1), NO_BLOCK)) in engine.first


def test_a_stopped_key_signs_nothing_after_a_restart() -> None:
    stop = Stop(StopReason.FORK, EpochIndex(1), View(1), bytes(32))
    engine = Engine(LEADER, Memory(stop=stop))
    assert not any(isinstance(action, Build) for action in engine.first)
    assert votes_in([*engine.expire(), *engine.expire(), *engine.expire()]) == []


def test_what_the_host_found_invalid_stops_the_key_once() -> None:
    engine = Engine(ME)
    final = quorum(FINALIZE, 9, bytes(32), without=ME)
    stop = Stop(StopReason.DISAGREEMENT, EPOCH.index, View(9), bytes(32))
    assert engine.core.disagree(final) == [Persist(stop), Report(Disagreement(final))]
    assert engine.core.disagree(final) == []
    engine.hear(propose(FIRST))
    assert votes_in(engine.verdict(FIRST)) == []


def test_a_finalization_off_the_committed_branch_is_a_fork() -> None:
    engine = Engine(ME)
    engine.hear(propose(FIRST))
    engine.verdict(FIRST)
    final = quorum(FINALIZE, 1, name_of(FIRST), without=ME)
    engine.hear(Bundle(EPOCH.index, (final,)))
    rival = block_on(GENESIS, 2, salt=b"rival")
    later = quorum(FINALIZE, 2, name_of(rival), without=ME)
    engine.hear(Bundle(EPOCH.index, (later,)))
    assert findings_in(engine.hear(Bundle(EPOCH.index, (), (rival,)))) == [Fork(final, later)]


def test_finalization_of_an_ancestor_is_no_fork() -> None:
    engine = Engine(ME)
    second = block_on(FIRST.header, 2, timestamp_ms=9_500)
    ancestor = quorum(FINALIZE, 1, name_of(FIRST), without=ME)
    final = quorum(FINALIZE, 2, name_of(second), without=ME)
    engine.hear(Bundle(EPOCH.index, (final,)))
    assert engine.hear(Bundle(EPOCH.index, (ancestor,))) == []
    engine.hear(Bundle(EPOCH.index, (), (second, FIRST)))
    engine.verdict(FIRST)
    actions = engine.verdict(second)
    assert actions[-1] == Commit(EPOCH.index, (FIRST, second), final)
    assert findings_in(actions) == []


def test_last_block_ends_the_engine_which_goes_on_as_a_witness() -> None:
    engine = Engine(ME)
    blocks = chain_to_the_end()
    final = quorum(FINALIZE, 3, name_of(blocks[-1]), without=ME)
    engine.hear(Bundle(EPOCH.index, (final,)), Bundle(EPOCH.index, (), tuple(reversed(blocks))))
    assert [engine.verdict(block) for block in blocks][-1] == [Commit(EPOCH.index, tuple(blocks), final)]
    assert engine.core.ended
    assert engine.expire() == []
    other = quorum(FINALIZE, 4, name_of(block_on(blocks[1].header, 4)), without=ME)
    said = engine.hear(Bundle(EPOCH.index, (other,)))
    assert said == [
        Persist(Stop(StopReason.FORK, EPOCH.index, View(4), other.block)),
        Report(Fork(final, other)),
    ]


def test_last_block_of_the_epoch_is_proposed_again_until_it_is_final() -> None:
    leader = EPOCH.leader(View(4))
    engine = Engine(leader)
    blocks = chain_to_the_end()
    notarized = quorum(NOTARIZE, 3, name_of(blocks[-1]), without=leader)
    engine.hear(Bundle(EPOCH.index, (notarized,)), Bundle(EPOCH.index, (), tuple(reversed(blocks))))
    actions = [engine.verdict(block) for block in blocks][-1]
    assert sent_to(actions, None) == [propose(blocks[-1], notarized, view=4)]


def test_repeated_last_block_is_justified_by_itself() -> None:
    me = not_leader(4)
    engine = Engine(me)
    blocks = chain_to_the_end()
    notarized = quorum(NOTARIZE, 3, name_of(blocks[-1]), without=me)
    engine.hear(propose(blocks[-1], notarized, view=4))
    engine.hear(Bundle(EPOCH.index, (), tuple(reversed(blocks[:-1]))))
    actions = [engine.verdict(block) for block in blocks][-1]
    assert kinds_in(actions) == [NOTARIZE]
