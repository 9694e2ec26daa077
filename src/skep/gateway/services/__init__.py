"""Other services than models, behind the same keys, budgets, limits, breakers and ledger: ``ANY /services/NAME/...``."""

from __future__ import annotations

from skep.gateway.services.calling import ServiceCall, call_service
from skep.gateway.services.configuring import read_services
from skep.gateway.services.models import SERVICES_FACE, CostRule, Service, chosen_service, service_model
from skep.gateway.services.routes import service_endpoints

__all__ = [
    "SERVICES_FACE",
    "CostRule",
    "Service",
    "ServiceCall",
    "call_service",
    "chosen_service",
    "read_services",
    "service_endpoints",
    "service_model",
]
