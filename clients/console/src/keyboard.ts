/** Keeps the whole page above the keyboard on the screen, which browsers may put over it. */
export function fitAboveKeyboard(): void {
  const { visualViewport: view, document } = window;
  view?.addEventListener("resize", () => {
    // Zoomed in, the window shows less than the page on purpose.
    document.body.style.height = view.scale === 1 ? `${view.height}px` : "";
  });
}
