"""Check the OpenAPI document at a URL. Environment: SSL_CERT_FILE (the gateway's CA)."""

import json
import sys
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

with urllib.request.urlopen(sys.argv[1]) as answer:
    document = json.load(answer)
OpenAPIV31SpecValidator(document).validate()
print(f"ok: {len(document['paths'])} paths are described in OpenAPI {document['openapi']}")
