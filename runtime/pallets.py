"""The only place where pallets meet: their indices, constants, needs and hooks."""

from collections.abc import Sequence
from typing import Any, Final

from frame.call import CallDeclaration
from frame.context import Context
from frame.error import DispatchError, InvalidTransaction, TransactionError, ValueOutOfRange
from frame.jobs import JobKind, JobOwner
from frame.origin import Origin
from frame.pallet import Pallet
from frame.weight import Weight
from pallets.balances import Balances
from pallets.disputes import Disputes
from pallets.disputes import Needs as DisputesNeeds
from pallets.evaluation import Evaluations
from pallets.evaluation import Needs as EvaluationNeeds
from pallets.fees import Fees
from pallets.fees import Needs as FeesNeeds
from pallets.gas import Gas
from pallets.inference import Inference
from pallets.inference import Needs as InferenceNeeds
from pallets.instant import Instant
from pallets.instant import Needs as InstantNeeds
from pallets.jobs import Jobs
from pallets.jobs import Needs as JobsNeeds
from pallets.models import Models
from pallets.models import Needs as ModelsNeeds
from pallets.offences import Needs as OffencesNeeds
from pallets.offences import Offences
from pallets.sealing import Needs as SealingNeeds
from pallets.sealing import Sealing
from pallets.session import Needs as SessionNeeds
from pallets.session import Session
from pallets.sudo import Needs as SudoNeeds
from pallets.sudo import Sudo
from pallets.system import System
from pallets.timestamp import Timestamp
from pallets.validators import Needs as ValidatorsNeeds
from pallets.validators import Validators
from primitives.codec import CodecError
from primitives.extrinsic import Call
from primitives.outcome import Failure
from runtime.constants import (
    BALANCES,
    CALL_DEPTH_MAX,
    DISPUTES,
    EVALUATION,
    EXTRINSIC_WEIGHT,
    FEES,
    GAS,
    INFERENCE,
    INSTANT,
    JOBS,
    MODELS,
    OFFENCES,
    SEALING,
    SESSION,
)

PALLETS: Final[dict[int, type[Pallet]]] = {
    0: System,
    1: Timestamp,
    2: Balances,
    3: Fees,
    4: Session,
    5: Jobs,
    6: Models,
    7: Inference,
    8: Validators,
    9: Sudo,
    10: Offences,
    11: Gas,
    12: Sealing,
    13: Disputes,
    14: Evaluations,
    15: Instant,
}
"""By index, which is wire format. Hooks run in this order."""


class Pallets:
    """Every pallet over one block's context. Implements frame.dispatch.CallWeights and Dispatcher."""

    def __init__(self, context: Context) -> None:
        """Connect them."""
        self.context = context
        self.system = System(context)
        self.balances = Balances(context, BALANCES, accounts=self.system)
        self._connect_validators()
        self.timestamp = Timestamp(context, pace=self.session)
        needs = FeesNeeds(
            accounts=self.system, currency=self.balances, authorship=self.session, call_weights=self
        )
        self.fees = Fees(context, FEES, needs)
        self._connect_jobs()
        self.sudo = Sudo(context, SudoNeeds(dispatcher=self))
        everyone: tuple[Pallet, ...] = (
            *(self.system, self.timestamp, self.balances, self.fees, self.session),
            *(self.jobs, self.models, self.inference, self.validators, self.sudo, self.offences),
            *(self.gas, self.sealing, self.disputes, self.evaluation, self.instant),
        )
        self.by_index = dict(zip(PALLETS, everyone, strict=True))

    def _connect_validators(self) -> None:
        """Who votes, who decides that, and who remembers what they did."""
        needs = SessionNeeds(currency=self.balances, identity=self.system)
        self.session = Session(self.context, SESSION, needs)
        self.validators = Validators(self.context, ValidatorsNeeds(seats=self.session))
        self.offences = Offences(self.context, OFFENCES, OffencesNeeds(history=self.session))
        self.session.bind(elector=self.validators, on_new_epoch=[self.offences])

    def _connect_jobs(self) -> None:
        """The attested jobs, and those who open them."""
        context, currency = self.context, self.balances
        self.gas = Gas(context, GAS)
        jobs_needs = JobsNeeds(
            currency=currency,
            gas=self.gas,
            validators=self.session,
            pace=self.session,
            identity=self.system,
        )
        self.jobs = Jobs(context, JOBS, jobs_needs)
        self.models = Models(context, MODELS, ModelsNeeds(currency=currency, jobs=self.jobs))
        self.sealing = Sealing(context, SEALING, SealingNeeds(currency=currency, validators=self.session))
        inference_needs = InferenceNeeds(
            currency=currency, jobs=self.jobs, models=self.models, sealing=self.sealing
        )
        self.inference = Inference(context, INFERENCE, inference_needs)
        self.disputes = Disputes(context, DISPUTES, DisputesNeeds(currency=currency, jobs=self.jobs))
        evaluation_needs = EvaluationNeeds(currency=currency, jobs=self.jobs, models=self.models)
        self.evaluation = Evaluations(context, EVALUATION, evaluation_needs)
        instant_needs = InstantNeeds(currency=currency, models=self.models, identity=self.system)
        self.instant = Instant(context, INSTANT, instant_needs)
        owners: dict[JobKind, JobOwner] = {
            JobKind.PROVE: self.models,
            JobKind.INFER: self.inference,
            JobKind.EVALUATE: self.evaluation,
        }
        self.disputes.bind(owners)
        self.jobs.bind(self.disputes)

    def find(self, call: Call) -> tuple[CallDeclaration, Sequence[Any]]:
        """What `call` names, and its arguments. Raises InvalidTransaction if it is not well-formed."""
        pallet = self.by_index.get(call.pallet)
        declaration = None if pallet is None else pallet.calls.get(call.function)
        if declaration is None:
            raise InvalidTransaction(TransactionError.UNKNOWN_CALL)
        try:
            return declaration, declaration.arguments.decode(call.arguments)
        except CodecError:
            raise InvalidTransaction(TransactionError.BAD_ARGUMENTS) from None

    def find_signed(self, call: Call) -> tuple[CallDeclaration, Sequence[Any], Weight]:
        """As `find`, for a call that may come in an extrinsic, with all that the extrinsic weighs."""
        declaration, arguments = self._find_call(call)
        return declaration, arguments, EXTRINSIC_WEIGHT + self._weigh(declaration, arguments, depth=1)

    def run(
        self, origin: Origin, call: Call, declaration: CallDeclaration, arguments: Sequence[Any]
    ) -> Failure | None:
        """Run a call that was found. What it refuses leaves no trace."""
        try:
            getattr(self.by_index[call.pallet], declaration.name)(origin, *arguments)
        except DispatchError as error:
            return error.failure()
        except CodecError:
            return ValueOutOfRange().failure()
        return None

    def weight_of(self, call: Call) -> Weight:
        """As in CallWeights."""
        return self.find_signed(call)[2]

    def dispatch(self, origin: Origin, call: Call) -> Failure | None:
        """As in Dispatcher."""
        declaration, arguments = self._find_call(call)
        return self.run(origin, call, declaration, arguments)

    def _find_call(self, call: Call) -> tuple[CallDeclaration, Sequence[Any]]:
        """As `find`, for what is no inherent."""
        declaration, arguments = self.find(call)
        if declaration.is_inherent:
            raise InvalidTransaction(TransactionError.UNKNOWN_CALL)
        return declaration, arguments

    def _weigh(self, declaration: CallDeclaration, arguments: Sequence[Any], depth: int) -> Weight:
        """What a call and those among its arguments weigh. Raises InvalidTransaction if one is no call."""
        weight = declaration.weigh(arguments)
        for inner in arguments:
            if isinstance(inner, Call):
                if depth == CALL_DEPTH_MAX:
                    raise InvalidTransaction(TransactionError.BAD_ARGUMENTS)
                weight += self._weigh(*self._find_call(inner), depth + 1)
        return weight
