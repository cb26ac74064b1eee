/**
 * Whether anybody looks: a view that is scrolled away, or in a hidden tab, must cost nothing.
 *
 * A page can go without saying goodbye, so a view that is seen repeats it; the host forgets a
 * view that has been silent for a minute.
 */

const REPEAT_MS = 15_000;

export class Attention {
  private onScreen = false;
  private said = false;
  private readonly observer: IntersectionObserver | null;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly onPage = (): void => this.update();

  constructor(
    element: Element,
    private readonly say: (visible: boolean) => void
  ) {
    if (typeof IntersectionObserver === "undefined") {
      this.observer = null;
      this.onScreen = true;
    } else {
      this.observer = new IntersectionObserver((entries) => {
        this.onScreen = entries[entries.length - 1]?.isIntersecting ?? false;
        this.update();
      });
      this.observer.observe(element);
    }
    document.addEventListener("visibilitychange", this.onPage);
    this.timer = setInterval(() => {
      if (this.said) {
        this.say(true);
      }
    }, REPEAT_MS);
    this.update();
  }

  dispose(): void {
    this.observer?.disconnect();
    document.removeEventListener("visibilitychange", this.onPage);
    clearInterval(this.timer);
    if (this.said) {
      this.said = false;
      this.say(false);
    }
  }

  private update(): void {
    const visible = this.onScreen && !document.hidden;
    if (visible !== this.said) {
      this.said = visible;
      this.say(visible);
    }
  }
}
