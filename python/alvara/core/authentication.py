"""azureml.core.authentication, by its names: the credentials of this package under those that azureml-core gives its own."""

from __future__ import annotations

from typing import Any

from ..credential import CommandLineCredential, ManagedIdentityCredential, ServicePrincipalCredential


class MsiAuthentication(ManagedIdentityCredential):
    """The identity of the place where this runs."""

    def __init__(self, identity_config: dict[str, str] | None = None) -> None:
        super().__init__((identity_config or {}).get("client_id"))


class ServicePrincipalAuthentication(ServicePrincipalCredential):
    """An application with a secret."""

    def __init__(self, tenant_id: str, service_principal_id: str, service_principal_password: str, **_: Any) -> None:
        super().__init__(tenant_id, service_principal_id, service_principal_password)


class AzureCliAuthentication(CommandLineCredential):
    """Whoever is signed in with the command line."""

    def __init__(self, **_: Any) -> None:
        super().__init__()


__all__ = ["AzureCliAuthentication", "MsiAuthentication", "ServicePrincipalAuthentication"]
