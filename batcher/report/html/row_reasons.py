"""The reasons of invalid rows in Chinese, by the English templates of :mod:`batcher.manifest`.

A test reads the sources of the reasons and fails for one that has no translation here.
"""

from __future__ import annotations

from collections.abc import Mapping

from batcher.model.submission import WHOLE_ROW, CountedBy
from batcher.report.html.sentences import Catalogue

_LINE = CountedBy.LINE.value

_IDS: Mapping[str, str] = {
    "is missing": "缺少此值",
    "is missing; fill it in or give {option}": "缺少此值；请补上，或给出 {option}",
    "{text} is longer than {n} bytes": "{text} 超过 {n} 字节",
    "{text} is a placeholder for a missing value, not a file id": "{text} 是缺失值的占位符，不是文件 ID",
    "{text} is in quotation marks. Remove them": "{text} 带有引号，请去掉引号",
    "{text} is a URL. A file id is the path of the object without host, bucket and query": (
        "{text} 是 URL。文件 ID 是对象的路径，不含主机、桶和查询参数"
    ),
    "{text} holds {what}": "{text} 中含有{what}",
    "an invisible character (U+{code})": "不可见字符（U+{code}）",
    "a control character or a line end": "控制字符或换行符",
    (
        "{text} holds U+FFFD: a program could not read a character and has replaced it. Export the "
        "file again from the original"
    ): ("{text} 中含有 U+FFFD：某个程序无法读取一个字符，把它替换掉了。请从原始数据重新导出文件"),
    "{text} is not a Tencent file id, which is digits only": (
        "{text} 不是腾讯云的文件 ID：腾讯云的 ID 只由数字组成"
    ),
    (
        "{text} has a decimal point: a spreadsheet or another program took the id for a number. Its "
        "digits may be whole; export the column as text"
    ): (
        "{text} 带有小数点：电子表格或其他程序把 ID 当成了数字。各位数字可能仍然完整；请将该列按文本格式导出"
    ),
    "{text} has lost its digits: a spreadsheet took the id for a number. Export the column as text": (
        "{text} 已丢失部分数字：电子表格把 ID 当成了数字。请将该列按文本格式导出"
    ),
}

_PARAMETERS: Mapping[str, str] = {
    "{text} is not one of {names}": "{text} 不是以下值之一：{names}",
    "{text} is not a whole number": "{text} 不是整数",
    "{text} is not more than 0 seconds": "{text} 秒不大于 0",
    "{text} is not a plain number such as 10 or 2.5": "{text} 不是普通的数字，例如 10 或 2.5",
    "{text} has more than {n} digits": "{text} 超过 {n} 位数字",
    "{text} is not a JSON array of numbers": "{text} 不是由数字组成的 JSON 数组",
}

_TABLES: Mapping[str, str] = {
    "{text} is a formula without a stored value: open and save the workbook once in a spreadsheet": (
        "{text} 是没有保存计算结果的公式：请在电子表格软件中打开工作簿并保存一次"
    ),
    "names columns, as a header does. Files may have been joined; remove the row": (
        "此行是列名，与表头一样。可能是多个文件被拼接在一起；请删除此行"
    ),
    ("has {n} cells and the header names {m}; a delimiter in a value that is not quoted may have split it"): (
        "此行有 {n} 个单元格，而表头有 {m} 列；可能是未加引号的值中含有分隔符，因而被拆开"
    ),
    (
        "the file ends within this row, after {n} of {m} cells and without a line end: it was cut "
        "off. Fetch or export it again"
    ): ("文件在此行中间结束：{m} 个单元格中只有 {n} 个，且没有换行符，说明文件被截断。请重新获取或导出"),
    (
        "{text} is shorter than the id before it, and the file ends here without a line end: it was "
        "cut off. Fetch or export it again"
    ): ("{text} 比前一个 ID 短，且文件在此结束而没有换行符，说明文件被截断。请重新获取或导出"),
    (
        "its quotes do not match: text follows the closing quote{where}. Inside a quoted value a "
        "quote is written twice"
    ): ("引号不匹配：{where}结束引号之后还有文字。在带引号的值中，引号要写两次"),
    f" on {_LINE} {{n}}": "第 {n} 行的",
    " in the column {column}": "{column} 列的",
    f" on {_LINE} {{n}} in the column {{column}}": "第 {n} 行 {column} 列的",
    "{text} is not UTF-8 text": "{text} 不是 UTF-8 文本",
    "{text} is a date or a time to the spreadsheet, not a file id": (
        "{text} 在电子表格中是日期或时间，不是文件 ID"
    ),
    (
        "has a value in cell {cell} ({value}), and the header ends at column {column}. Clear the cell, or "
        "name its column in the header"
    ): "在单元格 {cell} 中有值（{value}），而表头到 {column} 列为止。请清空该单元格，或在表头中为该列命名",
    "{text} is an error of the spreadsheet. Correct the cell": "{text} 是电子表格的错误值，请改正该单元格",
    (
        "{text} is a number, and a spreadsheet keeps 15 of its {n} digits. Export the ids again from "
        "their origin, into a column formatted as text"
    ): ("{text} 是数字，而电子表格只能保留其 {n} 位中的 15 位。请从来源重新导出 ID，放入文本格式的列"),
    "is true or false, not a file id": "是逻辑值，不是文件 ID",
    "is 0, not a file id. If a formula gives it, open and save the workbook once in a spreadsheet": (
        "是 0，不是文件 ID。如果它来自公式，请在电子表格软件中打开工作簿并保存一次"
    ),
}

_JSON: Mapping[str, str] = {
    "is {what}, not a file id": "是{what}，不是文件 ID",
    "is {what}; an object or a file id is expected": "是{what}；此处应为对象或文件 ID",
    "{name} holds {what} where an object is expected": "{name} 中含有{what}，此处应为对象",
    "an object": "对象",
    "an array": "数组",
    "a number": "数字",
    "a text": "文本",
    "null": " null",
    "true": " true",
    "false": " false",
    "holds nothing": "没有任何内容",
    "the object has the name {name} twice": "对象中 {name} 出现了两次",
    "{name} and {other} both mean {column}; leave one of them out": (
        "{name} 和 {other} 都表示 {column}；请去掉其中一个"
    ),
    "is missing: extra_params holds neither FileID nor ObsObject": (
        "缺少此值：extra_params 中既没有 FileID，也没有 ObsObject"
    ),
    "is an answer with code {code} ({what}) and holds no recordings. Ask again": (
        "是返回码为 {code} 的响应（{what}），不含录制文件。请重新查询"
    ),
    "no message": "没有消息",
    (
        "is an answer without recordings: it has none of Data.Tencent.MediaInfoSet, Data.Huawei.Keys "
        "and Data.Ws.Keys"
    ): ("是不含录制文件的响应：Data.Tencent.MediaInfoSet、Data.Huawei.Keys 和 Data.Ws.Keys 都没有"),
    "{text} holds a NUL or half a character, which is not text": "{text} 中含有 NUL 或半个字符，不是文本",
    "extra_params {why}": "extra_params 的内容{why}",
    "is not JSON: {why}": "不是 JSON：{why}",
    "{what} at character {n}": "第 {n} 个字符处{what}",
    "is not JSON of a manifest: it is nested too deeply": "不是清单的 JSON：嵌套过深",
    "is percent-encoded, and not UTF-8": "经过百分号编码，但不是 UTF-8",
    "is neither JSON nor the fields of a form": "既不是 JSON，也不是表单字段",
}

_DECODER: Mapping[str, str] = {
    "expecting value": "缺少值",
    "expecting property name enclosed in double quotes": "缺少带双引号的名称",
    "expecting ':' delimiter": "缺少冒号",
    "expecting ',' delimiter": "缺少逗号",
    "extra data": "有多余的内容",
    "unterminated string starting": "开始的字符串没有结束",
    "invalid control character": "有不允许的控制字符",
    "invalid \\escape": "有无效的转义",
    "invalid \\uXXXX escape": "有无效的 \\uXXXX 转义",
    "illegal trailing comma before end of object": "对象末尾有多余的逗号",
    "illegal trailing comma before end of array": "数组末尾有多余的逗号",
}
"""What Python's decoder of JSON says."""

TEMPLATES: Mapping[str, str] = {**_IDS, **_PARAMETERS, **_TABLES, **_JSON, **_DECODER}
ROW_REASONS = Catalogue(TEMPLATES)

PLACES = Catalogue({f"{{name}} {unit.value} {{n}}": "{name} 第 {n} 行" for unit in CountedBy})
"""The places of rows in their manifests."""
COLUMNS = Catalogue({WHOLE_ROW: "整行"})
"""The columns at fault that are not the manifest's own words."""
