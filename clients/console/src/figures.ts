import { byId } from "./dom.js";
import { server } from "./server.js";

/** Answer of /__/stats. */
interface Figures {
  members: number;
  groups: number;
  /** Packets since the server was started. */
  received: number;
  delivered: number;
}

/** Pause between two looks, milliseconds. */
const EVERY = 2_000;

async function fetchFigures(): Promise<Figures> {
  const response = await fetch(`${server}/__/stats`, { signal: AbortSignal.timeout(EVERY * 2) });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

/** Shows how many members there are, and how many messages a second, as long as somebody looks. */
export function showFigures(): void {
  let last: (Figures & { at: number }) | undefined;
  const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
  const show = (id: keyof Figures, value: number) => {
    byId(id).textContent = number.format(value);
  };
  const look = async () => {
    if (document.hidden) return;
    const figures = await fetchFigures();
    const at = performance.now();
    show("members", figures.members);
    show("groups", figures.groups);
    if (last) {
      const seconds = (at - last.at) / 1_000;
      // Less than before: the server was restarted, or the balancer has chosen another one.
      show("received", Math.max(0, figures.received - last.received) / seconds);
      show("delivered", Math.max(0, figures.delivered - last.delivered) / seconds);
    }
    last = { ...figures, at };
  };
  const again = () =>
    look()
      .catch(() => {
        last = undefined;
        for (const id of ["members", "groups", "received", "delivered"]) byId(id).textContent = "–";
      })
      .finally(() => setTimeout(again, EVERY));
  again();
}
