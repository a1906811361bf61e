// Fills the sections that the page has.
const fillers = {
  notes: fillNotes, timeline: fillTimeline, lanes: fillLanes, critical: fillCriticalPath, buys: fillBuys, roofline: fillRoofline, side_by_side: fillSideBySide,
  steps: fillSteps, throughput: fillThroughput, loss: fillLoss, grad_norm: fillGradNorm, learning_rate: fillLearningRate, memory: fillMemory,
  memory_over_time: fillMemoryOverTime, wear: fillWear, choices: fillChoices, config: fillConfig,
};

// Printed pages are light; what is on a canvas must be drawn anew for that, hence before the charts' own listeners.
addEventListener("beforeprint", () => document.documentElement.setAttribute("data-print", ""));
addEventListener("afterprint", () => document.documentElement.removeAttribute("data-print"));

// Of an odd number of half-width sections the last takes a whole row.
function evenOut() {
  const halves = document.querySelectorAll("main > section:not(.wide)");
  if (halves.length % 2 === 1) halves[halves.length - 1].classList.add("wide");
}

const pageData = JSON.parse(document.getElementById("data").textContent);
evenOut();
fillSummary(pageData);
for (const [section, fill] of Object.entries(fillers)) {
  if (document.getElementById(section)) fill(pageData);
}
