"""A mail server (aiosmtpd) for tests: prints its port, then each mail it takes as a line of JSON.

Options as JSON in the first argument: `certificate` and `key` (files), `mode` (`starttls`, `tls`, `plain`),
`password` (of the user `perfstream`; without it nobody logs in). Addresses that begin with `nobody` are refused
for ever, those that begin with `later` for now.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

OPTIONS = json.loads(sys.argv[1])


def show(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 unknown canary-reply"
        if address.startswith("later"):
            return "451 4.3.0 not now"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        show({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": server.transport.get_extra_info("cipher") is not None,
            "user": session.auth_data,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
            "parts": {part.get_content_type(): part.get_content() for part in message.iter_parts()},
        })
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data == LoginPassword(b"perfstream", OPTIONS["password"].encode())
    # Not handled: the server itself answers.
    return AuthResult(success=right, handled=False, auth_data="perfstream" if right else None)


async def main():
    mode, context = OPTIONS["mode"], None
    if mode != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(OPTIONS["certificate"], OPTIONS["key"])
    needs_login = bool(OPTIONS.get("password"))

    def smtp():
        return SMTP(
            Handler(),
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            authenticator=login if needs_login else None,
            auth_required=needs_login,
            auth_require_tls=mode == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        smtp, "127.0.0.1", 0, ssl=context if mode == "tls" else None
    )
    show(server.sockets[0].getsockname()[1])
    await asyncio.Future()


asyncio.run(main())
