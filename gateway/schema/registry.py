"""What the modules of the schema declare, each for its service, collected in one place."""

from gateway.schema.fields import Fields
from gateway.schema.from_proto import ProtoTypes

TYPES = ProtoTypes()
FIELDS = Fields(TYPES)

from_proto = TYPES.object
input_from_proto = TYPES.input
computed = TYPES.computed
query = FIELDS.query
mutation = FIELDS.mutation
subscription = FIELDS.subscription
edge = FIELDS.edge
