(function () {
  // Order the cards by a metric or a column, and show those of a split or a name.
  const cards = document.querySelector(".cards"), choices = document.getElementById("choices");
  const [order, split, part] = ["order", "split", "part"]
    .map(name => choices.querySelector(`[name=${name}]`));
  const ranked = [...cards.children], count = choices.querySelector("output");
  function compare(a, b) {
    const [one, other] = [a, b].map(card => card.getAttribute("data-" + order.value));
    if (one === null || other === null) return (one === null) - (other === null);
    return one - other || (isNaN(one - other) ? one.localeCompare(other) : 0);
  }
  function show() {
    const words = part.value.trim().toLowerCase();
    cards.append(...(order.value ? [...ranked].sort(compare) : ranked));
    ranked.forEach(card => { card.hidden =
      !(card.dataset.part.toLowerCase().includes(words)
        && (!split.value || card.dataset.split === split.value)); });
    count.textContent = ranked.filter(card => !card.hidden).length + " of " + ranked.length;
  }
  order.onchange = split.onchange = part.oninput = show;
  choices.hidden = false;
  show();
})();
