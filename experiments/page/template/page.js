"use strict";
(() => {
  // A link to a folded claim opens it.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.querySelector("details");
    if (details) details.open = true;
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  const data = document.getElementById("frames");
  if (!data) return; // there is no player
  const frames = JSON.parse(data.textContent);
  const [slider, strength, button] = ["strength", "strength-text", "play"].map((id) => document.getElementById(id));
  let timer = null;

  function show(index) {
    const frame = frames[index];
    const descriptions = ["L1", "L2"].map((penalty) => {
      const { image, description } = frame[penalty];
      const view = document.getElementById(`view-${penalty}`);
      view.src = image;
      view.alt = description;
      document.getElementById(`description-${penalty}`).textContent = `${description}.`;
      return description;
    });
    slider.value = index;
    strength.textContent = frame.strength;
    // For screen readers: the slider's own value is only the number of a frame.
    slider.setAttribute("aria-valuetext", `${frame.strength}. ${descriptions.join(". ")}`);
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }

  function play() {
    if (Number(slider.value) === frames.length - 1) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) === frames.length - 1) pause();
    }, 500);
  }

  slider.addEventListener("input", () => {
    if (timer) pause();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => (timer ? pause() : play()));
  show(Number(slider.value)); // a browser may restore the slider's position
})();
