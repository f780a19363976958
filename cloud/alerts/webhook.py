"""One POST of an event to a webhook: within TIMEOUT_S in all, no redirect followed, the answer's body unread."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx2

TIMEOUT_S = 10.0  # from the connection's begin to the answer's head, however slowly it comes
AGENT = "Domino-Alerts/1"


async def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    trust: ssl.SSLContext,
    timeout_s: float = TIMEOUT_S,
) -> tuple[bool, str]:
    """Whether it was taken, which any 2xx says, and in words what came. Raises nothing of the network's.

    `trust` is whose certificates are believed.
    """
    said = {"content-type": "application/json", "user-agent": AGENT, **headers}
    try:
        async with (
            asyncio.timeout(timeout_s),
            # No proxy of the environment: it would be told everything.
            httpx2.AsyncClient(verify=trust, follow_redirects=False, trust_env=False, timeout=timeout_s) as client,
            client.stream("POST", url, content=body, headers=said) as answer,
        ):
            if answer.is_redirect:
                return False, f"answered {answer.status_code}: redirects are not followed"
            return answer.is_success, f"answered {answer.status_code}"
    except (TimeoutError, httpx2.TimeoutException):
        return False, f"no answer within {timeout_s:g} s"
    except httpx2.ConnectError as error:
        return False, f"no connection: {_short(error)}"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        return False, f"broke off: {_short(error)}"


def _short(error: Exception) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:100]
