"""Multi-grid is checked, and changes the last block alone."""
import pytest

from resnet import architecture, resnet_v2


def test_apply_multi_grid_changes_the_last_block_alone():
    blocks = resnet_v2.resnet_blocks(architecture.Architecture((1, 1, 1, 3)), (1, 2, 4))
    assert [unit['unit_rate'] for unit in blocks[3].args] == [1, 2, 4]
    assert all('unit_rate' not in unit for block in blocks[:3] for unit in block.args)


@pytest.mark.parametrize('multi_grid,message', [
    ((1, 2), 'has 2 rates; block4 has 3 units'), ((1, 2, 4, 8), 'has 4 rates'),
    ((1, 2, 0), 'positive whole'), ((1, 2, 1.5), 'positive whole')])
def test_apply_multi_grid_refuses_what_does_not_fit(multi_grid, message):
    with pytest.raises(ValueError, match=message):
        resnet_v2.resnet_blocks(architecture.Architecture((1, 1, 1, 3)), multi_grid)
