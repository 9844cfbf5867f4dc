"""The return codes of the service: their meaning and the remedy, in English and in Chinese.

Messages and summaries use the English texts; ``batcher codes`` and the report page use both. How batcher
handles a code is in :mod:`batcher.flowcontrol.retry_policy`. A remedy must not name ``batcher show``: a
search and a check have no submission to show.

Source: ZEGO server API, "Start a snapshot task" (开始点播截图), return codes; "Accessing server APIs", global
return codes; "Search media information", return codes; "Callback on the completion of merging files".
"""

from __future__ import annotations

from batcher.model.records import Meaning

_SUPPORT = "ask ZEGO technical support, with the RequestId of the answer"
_RATE = "no action: batcher slows down by itself; lower --rate if other programs share the AppId"
_OURS = "report this defect of batcher, with the RequestId of the answer"
_WAIT = "no immediate action; `batcher retry` sends failed submissions again"

MEANINGS: dict[int, Meaning] = {
    0: Meaning("success", ""),
    1: Meaning("failed, the server may be busy", _WAIT),
    2: Meaning("a parameter is wrong", "compare the row's parameters with those that the vendor supports"),
    3: Meaning("the permission is not enabled", "have ZEGO technical support enable the call for this AppId"),
    4: Meaning("the CDN type does not match", "correct the row's vendor: the file is not stored there"),
    5: Meaning("a configuration error at the vendor", _SUPPORT),
    6: Meaning("too frequent", _RATE),
    7: Meaning("authentication failed", "check BATCHER_APP_ID and the ServerSecret"),
    1000: Meaning(
        "the request failed; a wrong FileId also gets this code", "check the file id; else " + _SUPPORT
    ),
    41003: Meaning("the file does not exist", "check the file id, and whether the recording was deleted"),
    **dict.fromkeys((206, 207, 1010, 5007, 30002), Meaning("call frequency too high", _RATE)),
    100000000: Meaning("the host is wrong", "check BATCHER_ENDPOINT"),
    100000001: Meaning("the AppId is malformed", "check BATCHER_APP_ID"),
    100000002: Meaning("the Timestamp is empty", _OURS),
    100000003: Meaning("the Timestamp is malformed", _OURS),
    100000004: Meaning(
        "the signature has expired", "set this machine's clock: it is wrong by more than 10 minutes"
    ),
    100000005: Meaning("the signature is wrong", "check BATCHER_APP_ID and the ServerSecret"),
    100000006: Meaning("the Action is empty", "check BATCHER_ENDPOINT"),
    100000007: Meaning("the Action is unknown", "check BATCHER_ENDPOINT"),
    100000008: Meaning("the nonce is empty", _OURS),
    100000009: Meaning("the signature is empty", _OURS),
    100000010: Meaning("no secret was found for the AppId", "check BATCHER_APP_ID"),
    100000011: Meaning("the AppId's configuration was not found", "check BATCHER_APP_ID; else " + _SUPPORT),
    100000012: Meaning("the body could not be read", _WAIT),
    100000013: Meaning("the SignatureVersion is empty", _OURS),
    100000014: Meaning("the SignatureVersion is unsupported", _OURS),
    100000015: Meaning("an error inside the gateway", _WAIT),
    100000016: Meaning(
        "there is no production environment", "check BATCHER_IS_TEST: the project may be on test"
    ),
    100000017: Meaning("the service is not enabled", "have ZEGO technical support enable it for this AppId"),
}

UNKNOWN = Meaning("not in the documentation", _SUPPORT)

OF_SEARCHES: dict[int, Meaning] = {
    8: Meaning(
        "the authentication configuration could not be read",
        "ask ZEGO technical support whether the service is enabled for this AppId",
    ),
}
"""Codes of SearchMedia alone. They are faults of the account."""

OF_MERGING: dict[int, Meaning] = {
    40000: Meaning(
        "a parameter of the merge is not valid", "check the parameters with which the merge began"
    ),
    60000: Meaning(
        "a source file is damaged", "check whether the files that were to be merged can be played"
    ),
    70000: Meaning("an internal error of the service", "begin the merge again"),
}
"""Codes of ``compose`` callbacks alone."""

_SUPPORT_ZH = "联系 ZEGO 技术支持，并提供该响应的 RequestId"
_RATE_ZH = "无需处理：batcher 会自动降速；若有其他程序共用该 AppId，请调低 --rate"
_OURS_ZH = "这是 batcher 的缺陷，请报告，并附上该响应的 RequestId"
_WAIT_ZH = "无需立即处理；失败的提交项可用 `batcher retry` 重新发送"
_ENDPOINT_ZH = "检查 BATCHER_ENDPOINT"
_APP_ID_ZH = "检查 BATCHER_APP_ID"
_CREDENTIALS_ZH = "检查 BATCHER_APP_ID 和 ServerSecret"

IN_CHINESE: dict[int, Meaning] = {
    0: Meaning("请求成功", ""),
    1: Meaning("请求失败，服务器可能繁忙", _WAIT_ZH),
    2: Meaning("输入参数错误", "对照该厂商支持的参数，检查该行的参数"),
    3: Meaning("未开通相关权限", "联系 ZEGO 技术支持，为该 AppId 开通此接口"),
    4: Meaning("CDN 类型不匹配", "改正该行的 vendor：文件不在该厂商处"),
    5: Meaning("厂商侧配置错误", _SUPPORT_ZH),
    6: Meaning("请求过于频繁", _RATE_ZH),
    7: Meaning("鉴权失败", _CREDENTIALS_ZH),
    1000: Meaning("请求失败；FileId 有误时也返回此码", "检查文件 ID；若无误，请" + _SUPPORT_ZH),
    41003: Meaning("文件不存在", "检查文件 ID，并确认录制文件是否已被删除"),
    **dict.fromkeys((206, 207, 1010, 5007, 30002), Meaning("调用频率过高", _RATE_ZH)),
    100000000: Meaning("Host 错误", _ENDPOINT_ZH),
    100000001: Meaning("AppId 格式错误", _APP_ID_ZH),
    100000002: Meaning("Timestamp 为空", _OURS_ZH),
    100000003: Meaning("Timestamp 格式错误", _OURS_ZH),
    100000004: Meaning("签名已过期", "校准本机时钟：偏差已超过 10 分钟"),
    100000005: Meaning("签名错误", _CREDENTIALS_ZH),
    100000006: Meaning("Action 为空", _ENDPOINT_ZH),
    100000007: Meaning("Action 不存在", _ENDPOINT_ZH),
    100000008: Meaning("随机数（SignatureNonce）为空", _OURS_ZH),
    100000009: Meaning("签名为空", _OURS_ZH),
    100000010: Meaning("未找到该 AppId 的密钥", _APP_ID_ZH),
    100000011: Meaning("未找到该 AppId 的配置", _APP_ID_ZH + "；若无误，请" + _SUPPORT_ZH),
    100000012: Meaning("无法读取请求内容", _WAIT_ZH),
    100000013: Meaning("SignatureVersion 为空", _OURS_ZH),
    100000014: Meaning("不支持该 SignatureVersion", _OURS_ZH),
    100000015: Meaning("网关内部错误", _WAIT_ZH),
    100000016: Meaning("没有正式环境", "检查 BATCHER_IS_TEST：该项目可能处于测试阶段"),
    100000017: Meaning("服务未开通", "联系 ZEGO 技术支持，为该 AppId 开通服务"),
}

UNKNOWN_IN_CHINESE = Meaning("文档未列出此返回码", _SUPPORT_ZH)

OF_SEARCHES_IN_CHINESE: dict[int, Meaning] = {
    8: Meaning("鉴权配置读取失败", "联系 ZEGO 技术支持，确认该 AppId 是否已开通服务"),
}

OF_MERGING_IN_CHINESE: dict[int, Meaning] = {
    40000: Meaning("合并任务的输入参数不合法", "检查发起合并时的参数"),
    60000: Meaning("源文件错误（如视频数据损坏）", "检查待合并的文件能否正常播放"),
    70000: Meaning("服务内部错误", "重新发起合并"),
}


def meaning(code: int) -> Meaning:
    """Return the meaning of a code; :data:`UNKNOWN` for a code that the documentation does not list."""
    return MEANINGS.get(code, UNKNOWN)


def meaning_in_chinese(code: int) -> Meaning:
    """Return the meaning of a code in Chinese."""
    return IN_CHINESE.get(code, UNKNOWN_IN_CHINESE)
