// The controls and the cards of a quality page, for its script without a browser:
// node controls.js SCRIPT STEPS, with the attributes of both as JSON on the standard
// input. A step sets controls or follows a link; print the cards shown after each.
const fs = require("fs"), vm = require("vm");
const page = JSON.parse(fs.readFileSync(0, "utf8"));
const dataset = attributes => Object.fromEntries(Object.entries(attributes)
  .filter(([name]) => name.startsWith("data-")).map(([name, value]) => [name.slice(5), value]));
const cards = page.cards.map(a => ({id: a.id, hidden: false, dataset: dataset(a),
  getAttribute: name => name in a ? a[name] : null}));
const list = {children: cards, append: (...all) => { list.children = all; }};
const control = () => ({value: "", checked: false});
const controls = {order: control(), reversed: control(), split: control(), part: control()};
Object.defineProperty(controls.order, "selectedOptions", {get: () => page.options
  .filter(a => a.value === controls.order.value).map(a => ({dataset: dataset(a)}))});
const choices = {hidden: true,
  querySelector: words => controls[(words.match(/name=(\w+)/) || [])[1]] || {}};
let click;
const document = {querySelector: () => list,
  addEventListener: (_, handler) => { click = handler; },
  getElementById: id => id === "choices" ? choices : cards.find(card => card.id === id)};
vm.runInNewContext(fs.readFileSync(process.argv[2], "utf8"), {document});
const shown = JSON.parse(process.argv[3]).map(step => {
  for (const [name, value] of Object.entries(step)) {
    if (name === "link") click({target: {closest: () => ({hash: value})}});
    else {
      controls[name][name === "reversed" ? "checked" : "value"] = value;
      (controls[name].onchange || controls[name].oninput)();
    }
  }
  return list.children.filter(card => !card.hidden).map(card => card.id);
});
console.log(JSON.stringify(shown));
