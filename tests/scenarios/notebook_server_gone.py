"""A notebook server that ends and is there again while its kernels run."""

import uuid

from tests.scenarios.world import World


class NotebookServerGone:
    """On a world that reclaims nothing."""

    def test_an_open_tab_goes_on_after_a_restart_of_the_notebook_server(
        self, patient: World
    ) -> None:
        tab = patient.server.open()
        tab.run("x = 41", within=60)
        before = patient.server.session_ids(), patient.server.kernel_ids()
        patient.replace_notebook_server()
        tab.close()
        server = patient.server
        assert (server.session_ids(), server.kernel_ids()) == before
        found = server.request("GET", f"sessions/{tab.session['id']}")
        assert found["path"] == tab.session["path"]
        again = server.attach(tab.session)
        assert again.run("x + 1").result == "42"
        again.close()
        again.shutdown()
        patient.reclaimed(again, within=15)

    def test_a_cell_that_runs_while_the_notebook_server_is_replaced_ends_in_its_tab(
        self, patient: World
    ) -> None:
        tab = patient.server.open()
        gate = f"/tmp/{uuid.uuid4().hex}"
        first = tab.start(
            "import os, time\n"
            "for n in range(10): print('line', n)\n"
            f"while not os.path.exists({gate!r}): time.sleep(0.05)\n"
            "for n in range(10, 20): print('line', n)\n"
            "'done'"
        )
        lines = [f"line {n}" for n in range(20)]
        # All of it: what is on its way to a server that is killed is lost with it.
        first.until(
            lambda cell: cell.stdout.splitlines() == lines[:10], within=30, what="ten lines"
        )
        patient.replace_notebook_server()
        tab.close()
        patient.touch(tab, gate)
        again = patient.server.attach(tab.session, client_id=tab.client_id)
        # What the kernel says to the same front end, whose request it was.
        cell = again.cell(first.message_id)
        cell.wait(within=30)
        assert (cell.stdout.splitlines(), cell.result) == (lines[10:], "'done'")
        again.close()
        again.shutdown()
