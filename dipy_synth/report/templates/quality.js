(function () {
  // Order the cards by a metric or a column, and show those of a split or a name. A link
  // to a card that is not shown brings all of them back.
  const cards = document.querySelector(".cards"), choices = document.getElementById("choices");
  const [order, reversed, split, part] = ["order", "reversed", "split", "part"]
    .map(name => choices.querySelector(`[name=${name}]`));
  const ranked = [...cards.children], count = choices.querySelector("output");
  function compare(a, b) {
    const [one, other] = [a, b].map(card => card.getAttribute("data-" + order.value));
    if (one === null || other === null) return (one === null) - (other === null);
    const highest = order.selectedOptions[0].dataset.first === "highest";
    const side = one - other || (isNaN(one - other) ? one.localeCompare(other) : 0);
    return highest !== reversed.checked ? -side : side;
  }
  function show() {
    const words = part.value.trim().toLowerCase();
    const ordered = reversed.checked ? [...ranked].reverse() : [...ranked];
    cards.append(...(order.value ? ordered.sort(compare) : ordered));
    ranked.forEach(card => { card.hidden =
      !(card.dataset.part.toLowerCase().includes(words)
        && (!split.value || card.dataset.split === split.value)); });
    count.textContent = ranked.filter(card => !card.hidden).length + " of " + ranked.length;
  }
  order.onchange = reversed.onchange = split.onchange = part.oninput = show;
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href^='#']");
    if (!link || !document.getElementById(link.hash.slice(1)).hidden) return;
    split.value = part.value = "";
    show();
  });
  choices.hidden = false;
  show();
})();
