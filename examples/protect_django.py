"""A Django API in one file. One line in MIDDLEWARE protects the API.

export AUTHSEC_ISSUER="http://127.0.0.1:7468"
python examples/protect_django.py runserver --noreload
"""

import os
import sys

from authsec import TokenVerifier
from authsec.django import identity_of
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["authsec.django.BearerAuth", "django.middleware.common.CommonMiddleware"],
    AUTHSEC={"verifier": TokenVerifier(os.environ["AUTHSEC_ISSUER"], "https://crm.example.com")},
)


def customer(request: HttpRequest, customer: str) -> JsonResponse:
    identity_of(request).require("customers:delete" if request.method == "DELETE" else "customers:read")
    return JsonResponse({"id": customer})


urlpatterns = [path("customers/<customer>", customer)]
app = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
