"""Why runs ended, and why they were slow, in Chinese, by the English templates of the flows.

A test reads the sources of these reasons and fails for one that has no translation here. The texts of return
codes come from :mod:`batcher.zego.codes` and are handed in. What is quoted stays as it is: names, answers of
the service, and messages about a manifest or a ledger.
"""

from __future__ import annotations

from collections.abc import Mapping

from batcher.report.html.sentences import Catalogue

_ENDINGS: Mapping[str, str] = {
    "nothing is left to send": "没有待发送的提交项",
    "a manifest cannot be used": "有清单无法使用",
    "nothing is left for this run; others are still sending {n}": (
        "此次运行没有待发送的提交项；其他运行仍在发送 {n} 个"
    ),
    "another run of this ledger has halted: {why}": "使用同一台账的另一次运行已中止：{why}",
    "all submissions were sent; some need your attention": "所有提交项均已发送，其中有些需要处理",
    "all submissions were sent; some rows are invalid": "所有提交项均已发送，有些行无效",
    "{why}; {n} submission left": "{why}；剩余 {n} 个提交项",
    "{why}; {n} submissions left": "{why}；剩余 {n} 个提交项",
    "{why}; {n} submission left. {then}": "{why}；剩余 {n} 个提交项。{then}",
    "{why}; {n} submissions left. {then}": "{why}；剩余 {n} 个提交项。{then}",
    "{why}. {n} requests were sent before": "{why}。此前已发送 {n} 次请求",
    "{why} while {part}": "{why}，当时{part}",
    "the endpoint did not answer (since {since} UTC, last: {met})": (
        "服务端没有应答（自 UTC {since} 起，最后的情况：{met}）"
    ),
    "Check the network and BATCHER_ENDPOINT, then run again to resume": (
        "请检查网络和 BATCHER_ENDPOINT，然后重新运行以继续"
    ),
    "Check why it is slow, then run again to resume": "请检查读取缓慢的原因，然后重新运行以继续",
    "not read to the end yet: {names}; run again with these manifests to resume": (
        "尚未读完：{names}；请指定这些清单重新运行以继续"
    ),
    "stopped at the limit of {n}": "已达到数量上限 {n}",
    "submissions were added as the run ended": "运行结束时又增加了提交项",
    "stopped by {signal}": "收到 {signal} 后停止",
    "stopped by its program": "由调用它的程序停止",
    "cancelled": "已取消",
    "the function that gets its events has failed": "接收事件的函数出错",
    "time limit reached": "已到时间限制",
    "time limit reached while {name} was still being read ({what})": (
        "已到时间限制，当时仍在读取 {name}（{what}）"
    ),
    "{n} row arrived, loaded now": "已收到 {n} 行，现已加载",
    "{n} rows arrived, loaded now": "已收到 {n} 行，现已加载",
    "no row arrived": "未收到任何行",
}

_HALTS: Mapping[str, str] = {
    "too many failures: {n} in this run; check the codes, then run again": (
        "失败过多：本次运行中有 {n} 个；请检查返回码，然后重新运行"
    ),
    (
        "too many failures: {n} of the last {m} that ended; check the codes, then run again, with "
        "--max-failures off if these failures are expected"
    ): (
        "失败过多：最近结束的 {m} 个中有 {n} 个失败；请检查返回码，然后重新运行；如果这些失败在预料之"
        "中，请加上 --max-failures off"
    ),
    "code {n}: {what}; {then}": "返回码 {n}：{what}；{then}",
    "code {n}: {what} (the service says: {message}); {then}": (
        "返回码 {n}：{what}（服务端消息：{message}）；{then}"
    ),
    "{why}; affected: {names}": "{why}；涉及：{names}",
    "the endpoint forbids the requests: {met}; {then}": "服务端禁止这些请求：{met}；{then}",
    (
        "check BATCHER_ENDPOINT, and whether a firewall or a proxy between this machine and the "
        "service blocks it"
    ): ("请检查 BATCHER_ENDPOINT，以及本机与服务端之间是否有防火墙或代理拦截"),
    "no connection to the service: {why}": "无法连接服务端：{why}",
    "{part} ({met}); {then}": "{part}（{met}）；{then}",
    "the proxy asks for a user name and a password": "代理要求用户名和密码",
    "the proxy does not allow this connection": "代理不允许此连接",
    "the certificate of the endpoint is not accepted": "服务端的证书未被接受",
    "check the user name and the password in the URL of the proxy (HTTPS_PROXY or ALL_PROXY)": (
        "请检查代理 URL 中的用户名和密码（HTTPS_PROXY 或 ALL_PROXY）"
    ),
    "ask the operator of the proxy to allow this endpoint, or name another proxy in HTTPS_PROXY": (
        "请让代理的管理员放行该服务端，或在 HTTPS_PROXY 中指定其他代理"
    ),
    (
        "check this machine's clock and its certificate authorities; where a private authority or a "
        "proxy signs, name its file in SSL_CERT_FILE"
    ): (
        "请检查本机的时钟和受信任的证书机构；如果证书由私有机构或代理签发，请在 SSL_CERT_FILE 中给出"
        "其证书文件"
    ),
    (
        "the service's answers cannot be read, {n} in a row and no success yet; the last: {met}; "
        "check BATCHER_ENDPOINT, and what it accepted before sending again"
    ): (
        "无法读取服务端的响应：连续 {n} 个，且尚无成功；最后一个：{met}；请检查 BATCHER_ENDPOINT，并"
        "在重新发送之前确认它已接受了什么"
    ),
    (
        "a defect in batcher, {name} at {place}: report it. Requests in flight are on record; run "
        "again to resume"
    ): ("batcher 的缺陷，{name}，位于 {place}：请报告。发送中的请求均有记录；重新运行即可继续"),
}

_SLOW: Mapping[str, str] = {
    "an earlier run was throttled: its calls were too frequent": "之前的运行被限流：调用过于频繁",
    "the service {part}": "服务端{part}",
    "{part} and {rest}": "{part}，{rest}",
    "reported once that calls are too frequent": "提示过 1 次调用过于频繁",
    "reported {n} times that calls are too frequent": "提示过 {n} 次调用过于频繁",
    "answered {status} once": "返回过 1 次 {status}",
    "answered {status} {n} times": "返回过 {n} 次 {status}",
    "waiting for the service since {time} ({met})": "自 {time} 起等待服务端恢复（{met}）",
    "the service doubts the credentials; probing": "服务端质疑凭据，正在探测",
    "the service refuses the same requests repeatedly; probing": "服务端反复拒绝相同的请求，正在探测",
    "the endpoint forbids the requests; probing": "服务端禁止这些请求，正在探测",
}

TEMPLATES: Mapping[str, str] = {**_ENDINGS, **_HALTS, **_SLOW}


def run_reasons(code_texts: Mapping[str, str]) -> Catalogue:
    """Return the catalogue.

    Args:
        code_texts: the English texts of return codes with the Chinese ones: meanings and remedies.
    """
    literal = {_escaped(english): _escaped(chinese) for english, chinese in code_texts.items()}
    with_id = {f"{english} ({{id}})": f"{chinese}（{{id}}）" for english, chinese in literal.items()}
    return Catalogue({**TEMPLATES, **literal, **with_id})


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
