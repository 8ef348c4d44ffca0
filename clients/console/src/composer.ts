import { byId } from "./dom.js";

/** Calls `send` with what is written, when the button or Enter is pressed. Shift+Enter begins a new line. */
export function startComposer(send: (text: string) => void): void {
  const text = byId<HTMLTextAreaElement>("text");
  const form = byId<HTMLFormElement>("composer");
  const submit = () => {
    if (text.value.trim() === "") return;
    send(text.value);
    text.value = "";
    grow();
  };
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    text.focus();
  });
  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    // While an input method composes, Enter belongs to it (229: Safari says so only here).
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
}
