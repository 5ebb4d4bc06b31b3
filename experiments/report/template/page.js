"use strict";
(() => {
  // A link to a folded claim opens it.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.querySelector("details");
    if (folded) folded.open = true;
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  const data = document.getElementById("frames");
  if (!data) return; // the player was not measured
  const frames = JSON.parse(data.textContent);
  const [slider, told, button] = ["strength", "told-strength", "play"].map((id) => document.getElementById(id));
  let timer = null;

  function show(at) {
    const frame = frames[at];
    const both = ["L1", "L2"].map((penalty) => {
      const view = document.getElementById(`view-${penalty}`);
      view.src = frame[penalty].image;
      view.alt = frame[penalty].told;
      document.getElementById(`told-${penalty}`).textContent = `${frame[penalty].told}.`;
      return frame[penalty].told;
    });
    slider.value = at;
    told.textContent = frame.strength;
    // What a screen reader says as the slider moves: its bare value is the number of a frame.
    slider.setAttribute("aria-valuetext", `${frame.strength}. ${both.join(". ")}`);
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
  show(Number(slider.value)); // a browser may remember where the slider stood
})();
