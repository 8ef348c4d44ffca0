import { byId } from "./dom.js";

/** What is written and not sent outlives a reload. */
interface Draft {
  draft(): string;
  keepDraft(text: string): void;
}

/** Calls `send` with what is written, when the button or Enter is pressed. Shift+Enter begins a new line. */
export function startComposer(memory: Draft, send: (text: string) => void): void {
  const text = byId<HTMLTextAreaElement>("text");
  const form = byId<HTMLFormElement>("composer");
  const submit = () => {
    if (text.value.trim() === "") return;
    send(text.value);
    text.value = "";
    changed();
  };
  const changed = () => {
    memory.keepDraft(text.value);
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    text.focus();
  });
  text.addEventListener("input", changed);
  text.addEventListener("keydown", (event) => {
    // While an input method composes, Enter belongs to it (229: Safari says so only here).
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
  text.value ||= memory.draft();
  changed();
}
