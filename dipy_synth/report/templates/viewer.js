(function () {
  const root = document.getElementById("viewer");
  const images = [...document.querySelectorAll("img.volume")];
  if (!root || !images.length) return;
  const numbers = (image, name) => image.dataset[name].split(" ").map(Number);
  const shape = numbers(images[0], "shape"), size = numbers(images[0], "size");
  const origin = numbers(images[0], "origin"), at = shape.map(n => n >> 1);
  const [nx, ny, nz] = shape, read = new Map();
  // Planes as elsewhere on the page: anterior to the left or up, the patient's left on
  // the left. A volume is decoded from its picture when it is first shown.
  const planes = [
    { w: ny, h: nz, a: 1, b: 2, voxel: (u, v) => [at[0], ny - 1 - u, nz - 1 - v] },
    { w: nx, h: nz, a: 0, b: 2, voxel: (u, v) => [u, at[1], nz - 1 - v] },
    { w: nx, h: ny, a: 0, b: 1, voxel: (u, v) => [u, ny - 1 - v, at[2]] },
  ];
  async function voxels(image) {
    if (read.has(image)) return read.get(image);
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const data = new Uint8Array(nx * ny * nz), columns = +image.dataset.columns;
    for (let k = 0; k < nz; k++) {
      const top = Math.floor(k / columns) * ny, left = (k % columns) * nx;
      for (let j = 0; j < ny; j++) for (let i = 0; i < nx; i++)
        data[(k * ny + j) * nx + i] =
          pixels[4 * ((top + ny - 1 - j) * canvas.width + left + i)];
    }
    read.set(image, data);
    return data;
  }
  const wide = plane => plane.w * size[plane.a];
  const high = plane => plane.h * size[plane.b];
  function paint(canvas, plane, grey) {
    canvas.width = plane.w; canvas.height = plane.h;
    canvas.style.aspectRatio = wide(plane) + " / " + high(plane);
    const pen = canvas.getContext("2d"), out = pen.createImageData(plane.w, plane.h);
    const cross = plane.voxel(0, 0).map((zero, axis) => Math.abs(zero - at[axis]));
    for (let v = 0; v < plane.h; v++) for (let u = 0; u < plane.w; u++) {
      const [i, j, k] = plane.voxel(u, v), p = 4 * (v * plane.w + u);
      const line = u === cross[plane.a] || v === cross[plane.b];
      const value = grey((k * ny + j) * nx + i);
      out.data[p] = line ? value * 0.6 + 100 : value;
      out.data[p + 1] = line ? value * 0.6 + 70 : value;
      out.data[p + 2] = line ? value * 0.6 : value;
      out.data[p + 3] = 255;
    }
    pen.putImageData(out, 0, 0);
  }
  const sides = [...root.querySelectorAll(".side")].map(side => ({
    choice: side.querySelector("select"),
    views: [...side.querySelectorAll("canvas")] }));
  const sliders = ["x", "y", "z"].map(name => root.querySelector(`[name=${name}]`));
  const [black, white, swap, difference] = ["black", "white", "swap", "difference"]
    .map(name => root.querySelector(`[name=${name}]`));
  const pressed = button => button.getAttribute("aria-pressed") === "true";
  async function draw() {
    const data = [];
    for (const side of sides) data.push(await voxels(images[side.choice.value]));
    const low = 2.55 * black.value, range = Math.max(2.55 * white.value - low, 1);
    const windowed = values => p => 255 * (values[p] - low) / range;
    const [a, b] = data, [first, second] = pressed(swap) ? [b, a] : [a, b];
    const greys = [windowed(first), difference.checked
      ? p => 128 + 128 * (second[p] - first[p]) / range : windowed(second)];
    sides.forEach((side, n) => side.views.forEach(
      (canvas, m) => paint(canvas, planes[m], greys[n])));
    sliders.forEach((slider, n) => { slider.value = at[n]; });
    root.querySelector("output").textContent =
      at.map((v, n) => (origin[n] + v * size[n]).toFixed(0)).join(", ") + " mm";
  }
  sides.forEach((side, n) => {
    images.forEach((image, i) => side.choice.add(new Option(image.dataset.name, i)));
    const names = [...new Set(images.map(image => image.dataset.side))];
    side.choice.value = images.findIndex(image => image.dataset.side === names[n]);
    side.choice.onchange = draw;
    side.views[0].closest(".planes").style.gridTemplateColumns =
      planes.map(plane => wide(plane) + "fr").join(" ");
    side.views.forEach((canvas, m) => {
      const move = event => {
        if (event.type === "pointermove" && !event.buttons) return;
        const box = canvas.getBoundingClientRect(), plane = planes[m];
        const part = (p, n) => Math.max(0, Math.min(n - 1, Math.floor(p * n)));
        const u = part((event.clientX - box.left) / box.width, plane.w);
        const v = part((event.clientY - box.top) / box.height, plane.h);
        plane.voxel(u, v).forEach((value, axis) => { at[axis] = value; });
        draw();
      };
      canvas.onpointerdown = move; canvas.onpointermove = move;
    });
  });
  sliders.forEach((slider, n) => {
    slider.min = 0; slider.max = shape[n] - 1; slider.value = at[n];
    slider.oninput = () => { at[n] = +slider.value; draw(); };
  });
  black.oninput = white.oninput = difference.onchange = draw;
  swap.onclick = () => { swap.setAttribute("aria-pressed", !pressed(swap)); draw(); };
  draw();
})();
