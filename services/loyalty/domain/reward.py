"""A reward: what points can buy, and how many are left."""

from dataclasses import dataclass, replace

from services.loyalty.domain.errors import OutOfStock


@dataclass(frozen=True, slots=True)
class Reward:
    """Something that points can buy. ``stock`` is how many there were at first, ``None`` without limit."""

    program_id: str
    id: str
    name: str
    cost: int
    stock: int | None
    redeemed: int
    create_time: int

    @property
    def left(self) -> int | None:
        """How many are left; ``None`` without limit."""
        return None if self.stock is None else self.stock - self.redeemed

    def redeem(self) -> "Reward":
        """The reward with one less in stock; ``OutOfStock`` if none are left."""
        if self.left == 0:
            raise OutOfStock(f"all {self.stock} of reward {self.id} are redeemed", reward_id=self.id)
        return replace(self, redeemed=self.redeemed + 1)
