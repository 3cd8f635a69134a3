import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('deployments', '0002_effects'),
    ]

    operations = [
        # nothing has ever written an approval: the table is made anew, each row with its run
        migrations.DeleteModel(name='Approval'),
        migrations.AlterModelOptions(
            name='run',
            options={
                'ordering': ['-requested_at'],
                'permissions': [
                    ('make_plan', 'May ask for a plan'),
                    ('run_tier0', 'May run tier 0 plans (read, refresh)'),
                    ('run_tier1', 'May run tier 1 plans (reversible)'),
                    ('run_tier2', 'May run tier 2 plans (disruptive)'),
                    ('run_tier3', 'May run tier 3 plans (destructive)'),
                    ('approve_plan', "May approve somebody else's plan"),
                    ('cancel_run', 'May cancel a run'),
                    ('stop_writes', 'May stop all writes to a cluster'),
                    ('break_glass', 'May run without the second person, to be reviewed afterwards'),
                ],
            },
        ),
        migrations.AddField(
            model_name='run',
            name='covered_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='covers', to='deployments.run'),
        ),
        migrations.AddField(
            model_name='run',
            name='waiting_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(
                condition=models.Q(('state', 'waiting_for_approval')), fields=('plan',), name='deployments_run_waits_once'
            ),
        ),
        migrations.CreateModel(
            name='Approval',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('granted', models.BooleanField()),
                ('reason', models.TextField()),
                ('at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('lapsed_at', models.DateTimeField(null=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approvals', to=settings.AUTH_USER_MODEL)),
                ('plan', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='approvals', to='deployments.plan')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='approvals', to='deployments.run')),
            ],
            options={'ordering': ['at', 'pk']},
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.UniqueConstraint(
                condition=models.Q(('lapsed_at', None)), fields=('run', 'by'), name='deployments_approval_once'
            ),
        ),
        migrations.CreateModel(
            name='ClusterPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cluster', models.CharField(max_length=63)),
                ('source', models.CharField(max_length=100)),
                ('document', models.JSONField()),
                ('hash', models.CharField(max_length=64)),
                ('loaded_at', models.DateTimeField()),
                ('loaded_by', models.CharField(max_length=150)),
            ],
            options={'ordering': ['source']},
        ),
        migrations.AddConstraint(
            model_name='clusterpolicy',
            constraint=models.UniqueConstraint(fields=('cluster', 'source'), name='deployments_policy_once'),
        ),
        migrations.CreateModel(
            name='Review',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cluster', models.CharField(max_length=63)),
                ('opened_at', models.DateTimeField()),
                ('reason', models.TextField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('finding', models.TextField(blank=True)),
                ('closed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('opened_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='review', to='deployments.run')),
            ],
            options={'ordering': ['-opened_at']},
        ),
        migrations.AddConstraint(
            model_name='review',
            constraint=models.UniqueConstraint(
                condition=models.Q(('closed_at', None)), fields=('cluster',), name='deployments_review_one_open'
            ),
        ),
        migrations.AddConstraint(
            model_name='review',
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ('closed_by', None), models.Q(('closed_by', models.F('opened_by')), _negated=True), _connector='OR'
                ),
                name='deployments_review_by_another',
            ),
        ),
        migrations.AddConstraint(
            model_name='review',
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(('closed_at', None), ('closed_by', None)),
                    models.Q(('closed_at__isnull', False), ('closed_by__isnull', False)),
                    _connector='OR',
                ),
                name='deployments_review_closed_whole',
            ),
        ),
    ]
