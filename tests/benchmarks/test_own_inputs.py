from benchmarks import measuring, own_inputs


def test_a_step_takes_a_batch_of_crops(tmp_path):
    (tmp_path / 'source').mkdir()
    measuring.write_pairs(str(tmp_path / 'source'), 3)
    measuring.build_split(str(tmp_path / 'source'), 3, str(tmp_path / 'data'), 'train')
    step, about = own_inputs.build({'dataset_dir': str(tmp_path / 'data'), 'batch_size': 2,
                                    'crop_size': 65})
    assert step().shape == (2, 65, 65, 3) and about['tensorflow']
    step()  # two batches of three images: the stream does not end
