// Searching a table. The page is whole without it: the box that it serves is hidden until it runs.
for (const box of document.querySelectorAll("input[data-searches]")) {
  const table = document.getElementById(box.dataset.searches);
  const shown = document.getElementById(box.dataset.searches + "-found");
  const rows = Array.from(table.tBodies[0].rows, (row) => [row, row.textContent.toLowerCase()]);
  box.closest("label").hidden = false;
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      found += row.hidden ? 0 : 1;
    }
    shown.textContent = words.length
      ? box.dataset.found.replace("{found}", found.toLocaleString("en")).replace("{all}", rows.length.toLocaleString("en"))
      : "";
  });
}
