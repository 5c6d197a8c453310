"""What is in flight: everything sent and not acknowledged cumulatively, with when it was sent and what became of it.

Read first: RFC 6675 (the scoreboard), RFC 8985 (RACK needs the time of each transmission), and section 4.1 of
draft-ietf-ccwg-bbr (delivery rate samples). All that was sent in one go is one *run*: it has one time of transmission,
and is split only where the peer's SACK blocks or a retransmission split it. Runs lie in order of sequence; those that
are neither SACKed nor lost are also linked in order of transmission, so that RACK looks at no more than it has to.

The work for an ACK is bounded: runs are found by bisection, SACKed neighbours are joined, and there are never more
SACKed ranges than segments can be in flight (CVE-2019-11478, SACK slowness).
"""

from __future__ import annotations

from typing import Any

from uinet.seq import seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.sent import Ack, Sent, new_sent
from uinet.units import MASK32
from uinet.wire.kernels import untrack

MAX_RUNS = 16384  # what is sent beyond joins the last run: a user who sends octet by octet gets no object for each
MIN_RANGES = 256
SLOW_TICK = 500_000_000  # ns between two ticks of the timestamp clock where segments are late
RANGE_UNIT = 512  # bytes in flight for each further SACKed range that is believed
MIN_RTT_WINDOW = 300 * 1_000_000_000  # ns for which a minimum is believed (RFC 8985, 6.2, step 1)


class Flight:
    """The runs of one connection that has something to send, and what its ACKs have taught.

    `sacked`, `lost`: bytes in runs so marked; `again_out`: bytes in others that were sent again, so that the
    retransmission is on its way; `ranges`: runs that are SACKed. What is believed to be in the network is
    SND.NXT - SND.UNA - sacked - lost.
    """

    def __init__(self, now: int) -> None:
        self.blank(now)

    def blank(self, now: int) -> None:
        """What a new one is."""
        self.runs: list[Any] = []
        self.first = 0  # index of the run at SND.UNA; those before it are spent
        self.oldest: Sent | None = None  # in order of transmission; neither SACKed nor lost
        self.newest: Sent | None = None
        self.sacked = 0
        self.lost = 0
        self.again_out = 0
        self.ranges = 0
        self.lost_from = 0  # no run before it is lost
        # delivery (draft-ietf-ccwg-bbr, 4.1.1)
        self.delivered = 0
        self.delivered_at = now
        self.first_sent_at = now
        self.app_limited = 0  # `delivered` up to which samples are limited by the application; 0: they are not
        self.total_lost = 0
        self.round_end = 0  # `delivered` at which the present round trip ends
        # RACK (RFC 8985, 5.2)
        self.rack_sent_at = 0
        self.rack_end = 0
        self.rack_rtt = 0
        self.fack = 0
        self.fack_known = False
        self.fack_before = 0  # what it was before the ACK that is being taken in, and whether it was known
        self.fack_before_known = False
        self.reordered = False
        self.slow_clock = False  # timestamps tick slowly
        self.ticked_at = 0  # when they did last
        self.paced_until = 0  # nothing is sent before
        self.reo_wnd_mult = 1
        self.reo_wnd_persist = 16
        self.dsack_round = 0
        self.in_dsack_round = False
        self.min_rtt = 0  # 0: not known
        self.min_rtt_at = 0
        # tail loss probe (RFC 8985, 7.1)
        self.probe_end = 0
        self.probed = False
        self.probe_again = False  # the probe was a retransmission
        self.probe_timer = False  # the loss timer is a probe's, not the reordering window's
        # proportional rate reduction (RFC 9937)
        self.prr_delivered = 0
        self.prr_out = 0
        self.recover_fs = 1
        # what undoes a recovery that was not needed
        self.undo = False
        self.undo_retrans = 0  # bytes sent again that no D-SACK has told of
        self.again_at = 0  # when the recovery's first retransmission was sent; 0: there was none
        self.again_seq = 0  # and its first octet
        self.prior_cwnd = 0
        self.prior_ssthresh = 0
        self.frto = 0  # where F-RTO is (undo.NO_FRTO, RESENT, PROBING)
        self.reduced = False  # cwnd was reduced in this recovery
        # whether the path carries full segments: 0: none was sent yet since their size changed; 1: the first ends at
        # `full_end`; 2: one has arrived
        self.full = 0
        self.full_end = 0
        # whether cwnd is what limits (RFC 2861, 7661)
        self.owns_window = False  # congestion control's word
        self.paces = False  # the same
        self.lost_notes: list[Any] | None = None  # with `owns_window`: what it is to be told of as lost
        self.sent_at = 0  # when new data was sent last; 0: never
        self.cwnd_limited = False
        self.max_flight = 0
        self.usage_seq = 0
        self.cwnd_used = 0
        self.cwnd_stamp = now
        untrack(self)

    # order of transmission

    def link(self, run: Sent) -> None:
        """Makes `run` the latest transmission."""
        newest = self.newest
        run.older = newest
        run.newer = None
        if newest is None:
            self.oldest = run
        else:
            newest.newer = run
        self.newest = run

    def unlink(self, run: Sent) -> None:
        """Takes `run` out of the order of transmission; again: nothing."""
        older = run.older
        newer = run.newer
        if older is not None:
            older.newer = newer
        elif self.oldest is run:
            self.oldest = newer
        else:
            return
        if newer is not None:
            newer.older = older
        else:
            self.newest = older
        run.older = None
        run.newer = None

    def relink(self) -> None:
        """Puts all runs that are neither SACKed nor lost into order of transmission anew."""
        times = []
        for index in range(self.first, len(self.runs)):
            run: Sent = self.runs[index]
            run.older = None
            run.newer = None
            if not run.sacked and not run.lost:
                times.append((run.sent_at, index))
        times.sort()
        self.oldest = None
        self.newest = None
        for item in times:
            self.link(self.runs[item[1]])

    def clear(self) -> None:
        """Lets go of all runs; they refer to each other."""
        for index in range(self.first, len(self.runs)):
            run: Sent = self.runs[index]
            run.older = None
            run.newer = None
        self.runs = []
        self.first = 0
        self.oldest = None
        self.newest = None
        self.sacked = 0
        self.lost = 0
        self.again_out = 0
        self.ranges = 0

    # runs

    def find(self, seq: int) -> int:
        """Index of the first run that ends after `seq`; the number of runs if there is none."""
        low = self.first
        high = len(self.runs)
        while low < high:
            middle = (low + high) // 2
            run: Sent = self.runs[middle]
            if seq_leq(run.end, seq):
                low = middle + 1
            else:
                high = middle
        return low

    def split(self, index: int, at: int) -> None:
        """Splits the run at `index` at `at`, which lies inside it."""
        run: Sent = self.runs[index]
        rest = run.tail(at)
        self.runs.insert(index + 1, rest)
        if run.sacked:
            self.ranges += 1
        elif not run.lost:
            newer = run.newer
            rest.older = run
            rest.newer = newer
            run.newer = rest
            if newer is None:
                self.newest = rest
            else:
                newer.older = rest

    def stamp(self, run: Sent, now: int, in_flight: int) -> None:
        """Notes the state at a transmission (draft-ietf-ccwg-bbr, 4.1.1.2.2). `in_flight`: with the run itself."""
        if in_flight <= seq_diff(run.end, run.start):
            self.first_sent_at = now
            self.delivered_at = now
        run.sent_at = now
        run.delivered = self.delivered
        run.delivered_at = self.delivered_at
        run.first_sent_at = self.first_sent_at
        run.app_limited = self.app_limited != 0
        run.in_flight = in_flight
        run.lost_before = self.total_lost

    def add(self, start: int, end: int, now: int, in_flight: int) -> None:
        """Octets [start, end) are sent for the first time. `in_flight`: what is in the network, these included."""
        count = len(self.runs)
        if count > self.first:
            last: Sent = self.runs[count - 1]
            if not last.sacked and not last.lost:
                if last.sent_at == now and not last.again and last.delivered == self.delivered:
                    last.end = end
                    last.in_flight = in_flight
                    return
                if count - self.first >= MAX_RUNS:
                    last.end = end
                    self.unlink(last)
                    self.link(last)
                    self.stamp(last, now, in_flight)
                    return
        run = new_sent(start, end, now)
        self.stamp(run, now, in_flight)
        self.runs.append(run)
        self.link(run)

    def resent(self, start: int, end: int, now: int, in_flight: int) -> None:
        """Octets [start, end), which are not SACKed, are sent again."""
        index = self.find(start)
        if index >= len(self.runs):
            return
        run: Sent = self.runs[index]
        if seq_lt(run.start, start):
            self.split(index, start)
            index += 1
        after = index
        while after < len(self.runs):
            run = self.runs[after]
            if seq_geq(run.start, end):
                break
            if seq_gt(run.end, end):
                self.split(after, end)
            after += 1
        self._join(index, after)
        run = self.runs[index]
        self.unlink(run)
        size = seq_diff(run.end, run.start)
        if run.lost:
            run.lost = False
            self.lost -= size
        elif run.again:
            self.again_out -= size
        run.again = True
        self.again_out += size
        self.stamp(run, now, in_flight)
        self.link(run)
        if index > self.first:
            before: Sent = self.runs[index - 1]
            if (
                before.again and not before.sacked and not before.lost and before.sent_at == now
                and before.delivered == run.delivered and before.end == run.start
            ):
                before.end = run.end
                before.in_flight = run.in_flight
                self.unlink(run)
                del self.runs[index]

    def _join(self, index: int, after: int) -> None:
        """Makes the runs from `index` to before `after`, none of them SACKed, one. It is lost if the first is."""
        if after - index < 2:
            return
        first: Sent = self.runs[index]
        for at in range(index + 1, after):
            run: Sent = self.runs[at]
            self.unlink(run)
            size = seq_diff(run.end, run.start)
            if run.lost:
                self.lost -= size
            elif run.again:
                self.again_out -= size
            if first.lost:
                self.lost += size
            elif first.again:
                self.again_out += size
            first.end = run.end
        del self.runs[index + 1 : after]

    # what ACKs tell

    def arrived(self, run: Sent, length: int, end: int, now: int, ack: Ack) -> None:
        """`length` octets up to `end` of `run`, which was not SACKed, have reached the peer."""
        self.delivered += length
        ack.delivered += length
        rtt = now - run.sent_at
        if not run.again:
            if ack.first_rtt < rtt:
                ack.first_rtt = rtt
            if ack.rtt < 0 or rtt < ack.rtt:
                ack.rtt = rtt
            if ack.recovering and seq_leq(end, ack.recover):
                ack.original = True
            if self.fack_before_known and seq_lt(end, self.fack_before):
                self.reordered = True  # RFC 8985 6.2, step 3; what one ACK tells of came in the order of the octets
        if not self.fack_known or seq_gt(end, self.fack):
            self.fack = end
            self.fack_known = True
        self._rack(run, end, rtt, ack)
        if run.delivered_at and (
            not ack.sampled or run.sent_at > ack.sample_sent_at
            or (run.sent_at == ack.sample_sent_at and seq_gt(end, ack.sample_end))
        ):
            ack.sampled = True
            ack.sample_end = end
            ack.sample_sent_at = run.sent_at
            ack.sample_delivered_at = run.delivered_at
            ack.sample_first_sent_at = run.first_sent_at
            ack.sample_lost = run.lost_before
            ack.prior_delivered = run.delivered
            ack.app_limited = run.app_limited
            ack.in_flight = run.in_flight - seq_diff(run.end, end)

    def _rack(self, run: Sent, end: int, rtt: int, ack: Ack) -> None:
        """RFC 8985 6.2, step 2: the latest transmission that has arrived."""
        if run.again:
            # was it the retransmission that arrived, or the original?
            age = ack.tsecr_age  # of the timestamp that the arrival has shown
            if self.slow_clock and run.sent_at >= self.ticked_at:
                age -= run.sent_at - self.ticked_at
            elif self.slow_clock:
                age -= SLOW_TICK
            if age > rtt + 1_000_000:
                return
            if rtt < self.min_rtt:
                return
        self.rack_rtt = rtt
        if run.sent_at > self.rack_sent_at or (run.sent_at == self.rack_sent_at and seq_gt(end, self.rack_end)):
            self.rack_sent_at = run.sent_at
            self.rack_end = end

    def acknowledge(self, una: int, now: int, ack: Ack) -> None:
        """Everything before `una` has arrived."""
        index = self.first
        count = len(self.runs)
        while index < count:
            run: Sent = self.runs[index]
            if seq_geq(run.start, una):
                break
            whole = seq_leq(run.end, una)
            end = run.end if whole else una
            length = seq_diff(end, run.start)
            if run.sacked:
                self.sacked -= length
                if whole:
                    self.ranges -= 1
            else:
                if run.lost:
                    self.lost -= length
                elif run.again:
                    self.again_out -= length
                self.arrived(run, length, end, now, ack)
            if not whole:
                run.start = una
                break
            if not run.sacked and not run.lost:
                self.unlink(run)
            index += 1
        self.first = index
        if index == count:
            self.runs = []
            self.first = 0
        elif index >= 64 and index * 2 > count:
            del self.runs[:index]
            self.first = 0

    def sack(self, left: int, right: int, now: int, ack: Ack) -> int:
        """The peer holds [left, right), which lies within what is outstanding; bytes of it that are news."""
        index = self.find(left)
        if index >= len(self.runs):
            return 0
        run: Sent = self.runs[index]
        if run.sacked and seq_geq(run.end, right) and seq_leq(run.start, left):
            return 0
        if self.ranges >= MIN_RANGES and self.ranges >= self._most_ranges():
            return 0
        if seq_lt(run.start, left):
            if run.sacked:
                index += 1  # what it holds of the block is known
            else:
                self.split(index, left)
                index += 1
        news = 0
        after = index
        while after < len(self.runs):
            run = self.runs[after]
            if seq_geq(run.start, right):
                break
            if not run.sacked:
                if seq_gt(run.end, right):
                    self.split(after, right)
                news += self._hold(run, now, ack)
            after += 1
        if after > index:
            self._join_held(index, after)
        return news

    def _most_ranges(self) -> int:
        last: Sent = self.runs[len(self.runs) - 1]
        head: Sent = self.runs[self.first]
        return seq_diff(last.end, head.start) // RANGE_UNIT

    def _hold(self, run: Sent, now: int, ack: Ack) -> int:
        """Marks `run` as SACKed; its length."""
        length = seq_diff(run.end, run.start)
        if run.lost:
            run.lost = False
            self.lost -= length
        else:
            self.unlink(run)
            if run.again:
                self.again_out -= length
        self.arrived(run, length, run.end, now, ack)
        run.sacked = True
        self.sacked += length
        self.ranges += 1
        return length

    def _join_held(self, index: int, after: int) -> None:
        """Joins the SACKed runs from `index` to before `after`, and their neighbours if these are SACKed as well."""
        if index > self.first:
            before: Sent = self.runs[index - 1]
            if before.sacked:
                index -= 1
        if after < len(self.runs):
            behind: Sent = self.runs[after]
            if behind.sacked:
                after += 1
        if after - index < 2:
            return
        head: Sent = self.runs[index]
        last: Sent = self.runs[after - 1]
        for at in range(index + 1, after):
            run: Sent = self.runs[at]
            if run.again:
                head.again = True
            if run.sent_at > head.sent_at:
                head.sent_at = run.sent_at
        head.end = last.end
        self.ranges -= after - index - 1
        del self.runs[index + 1 : after]

    # what counts as lost

    def mark_lost(self, run: Sent, ack: Ack | None) -> None:
        """Counts `run`, neither SACKed nor lost yet, as lost."""
        length = seq_diff(run.end, run.start)
        self.unlink(run)
        run.lost = True
        if run.again:
            self.again_out -= length
        if self.lost == 0 or seq_lt(run.start, self.lost_from):
            self.lost_from = run.start
        self.lost += length
        self.total_lost += length
        if ack is not None:
            ack.lost += length
        if self.lost_notes is not None:
            since = self.total_lost - run.lost_before
            self.lost_notes.append((run.start, length, run.in_flight, since, run.app_limited))

    def mark_head(self, length: int, ack: Ack | None) -> None:
        """Counts at most `length` octets at SND.UNA as lost, unless they are SACKed or do so already."""
        if self.first >= len(self.runs):
            return
        run: Sent = self.runs[self.first]
        if run.sacked or run.lost:
            return
        if seq_diff(run.end, run.start) > length:
            self.split(self.first, (run.start + length) & MASK32)
        self.mark_lost(run, ack)

    def mark_all(self, ack: Ack | None) -> None:
        """Counts everything that is not SACKed as lost."""
        for index in range(self.first, len(self.runs)):
            run: Sent = self.runs[index]
            if not run.sacked and not run.lost:
                self.mark_lost(run, ack)

    def lose(self, start: int, end: int) -> None:
        """Counts what of [start, end) is not SACKed as lost."""
        index = self.find(start)
        while index < len(self.runs):
            run: Sent = self.runs[index]
            if seq_geq(run.start, end):
                break
            if seq_lt(run.start, start):
                self.split(index, start)
            elif not run.sacked and not run.lost:
                if seq_gt(run.end, end):
                    self.split(index, end)
                self.mark_lost(run, None)
            index += 1

    def holds(self, seq: int) -> bool:
        """Whether the octet `seq` is SACKed."""
        index = self.find(seq)
        if index >= len(self.runs):
            return False
        run: Sent = self.runs[index]
        return run.sacked and seq_leq(run.start, seq)

    def unmark(self) -> None:
        """What counted as lost was not: it is in flight again."""
        for index in range(self.first, len(self.runs)):
            run: Sent = self.runs[index]
            if run.lost:
                run.lost = False
                if run.again:
                    self.again_out += seq_diff(run.end, run.start)
        self.lost = 0
        self.relink()

    def renege(self) -> None:
        """The peer has thrown away what it had SACKed (RFC 2018, 8)."""
        for index in range(self.first, len(self.runs)):
            run: Sent = self.runs[index]
            if run.sacked:
                run.sacked = False
                run.again = True  # whatever acknowledges it now says nothing about its first transmission
                self.again_out += seq_diff(run.end, run.start)
                self.link(run)
        self.sacked = 0
        self.ranges = 0

    def next_lost(self) -> Sent | None:
        """The first run that counts as lost, or None."""
        if self.lost == 0:
            return None
        for index in range(self.find(self.lost_from), len(self.runs)):
            run: Sent = self.runs[index]
            if run.lost:
                self.lost_from = run.start
                return run
        return None

    def lost_end(self, run: Sent, limit: int) -> int:
        """Where the lost octets that begin with `run` end, or (at least) `limit` bytes after its start."""
        end = run.end
        index = self.find(run.start) + 1
        while index < len(self.runs) and seq_diff(end, run.start) < limit:
            following: Sent = self.runs[index]
            if not following.lost or following.start != end:
                break
            end = following.end
            index += 1
        return end

    def head_sacked(self) -> bool:
        """Whether what comes next at SND.UNA is SACKed: the peer holds it and yet does not acknowledge it."""
        if self.first >= len(self.runs):
            return False
        run: Sent = self.runs[self.first]
        return run.sacked

    def last_piece(self, full: int) -> int:
        """Where the last segment of at most `full` bytes begins, as it was probably sent. There is a run."""
        last: Sent = self.runs[len(self.runs) - 1]
        return (last.end - (seq_diff(last.end, last.start) - 1) % full - 1) & MASK32

    # samples

    def tick(self, now: int) -> int:
        """When the timestamp clock, which is slow, has ticked last."""
        if now - self.ticked_at >= SLOW_TICK:
            self.ticked_at = now
        return self.ticked_at

    def note_rtt(self, rtt: int, now: int) -> None:
        """Takes a round trip into the minimum."""
        if self.min_rtt == 0 or rtt <= self.min_rtt or now - self.min_rtt_at > MIN_RTT_WINDOW:
            self.min_rtt = rtt if rtt > 0 else 1
            self.min_rtt_at = now

    def finish(self, ack: Ack, now: int) -> None:
        """Completes the rate sample of an ACK (draft-ietf-ccwg-bbr, 4.1.1.2.3), and tells the end of a round trip."""
        if ack.delivered == 0:
            return
        self.delivered_at = now
        if self.app_limited and self.delivered > self.app_limited:
            self.app_limited = 0
        if not ack.sampled:
            return
        self.first_sent_at = ack.sample_sent_at
        if ack.prior_delivered >= self.round_end:
            self.round_end = self.delivered
            ack.round = True
        ack.lost_since = self.total_lost - ack.sample_lost
        ack.rate_delivered = self.delivered - ack.prior_delivered
        sending = ack.sample_sent_at - ack.sample_first_sent_at
        acking = now - ack.sample_delivered_at
        ack.interval = sending if sending > acking else acking
        if ack.interval <= 0 or ack.interval < self.min_rtt:
            return
        ack.rate = ack.rate_delivered * 1_000_000_000 // ack.interval


def new_flight(now: int) -> Flight:
    """Of a connection of which nothing was sent yet."""
    flight = Flight.__new__(Flight)
    flight.blank(now)
    return flight
