"""A notebook server that ends and is there again while its kernels run."""

from tests.scenarios.gateway_gone import Printer
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
        printer = Printer(patient, tab, pause=0.2)
        patient.replace_notebook_server()
        before = printer.cell.stdout
        tab.close()
        again = patient.server.attach(tab.session, client_id=tab.client_id)
        # What the kernel says to the same front end, whose request it was.
        cell = again.cell(printer.cell.message_id)
        printer.stop()
        cell.wait(within=30)
        said = (before + cell.stdout).splitlines()
        assert said == [f"line {n}" for n in range(int(cell.result or 0))]
        again.close()
        again.shutdown()
